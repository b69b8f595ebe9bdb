/** Codecs and layers between two regions, as Chromium encodes and decodes them. */
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

let mesh: Mesh;
let browser: Browser;
const opened: { close: () => Promise<void> }[] = [];
const people: Person[] = [];

beforeAll(async () => {
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
});

afterEach(async () => {
  for (const person of people.splice(0)) await person.close();
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

/** Somebody whose page remembers these settings. */
async function person(name: string, settings: Record<string, unknown>, without?: string): Promise<Person> {
  const who = await Person.open(browser, mesh, name);
  people.push(who);
  await who.page.addInitScript(kept => {
    localStorage.setItem('lyceum', JSON.stringify(kept));
  }, settings);
  if (without !== undefined) {
    await who.page.addInitScript(codec => {
      const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
      RTCRtpReceiver.getCapabilities = kind => {
        const capabilities = all(kind);
        if (!capabilities) return capabilities;
        const codecs = capabilities.codecs.filter(({ mimeType }) => !mimeType.endsWith(`/${codec}`));
        return { ...capabilities, codecs };
      };
    }, without);
  }
  return who;
}

interface Sent {
  rid: string;
  width: number;
  mode: string;
  active: boolean;
  frames: number;
  codec: string;
}

/** What the camera's encodings are, by the browser's statistics. */
function sent(who: Person): Promise<Sent[]> {
  return who.page.evaluate(async () => {
    const rows = new Map<string, Record<string, unknown>>();
    (await window.peers.at(-1)?.getStats())?.forEach((row: Record<string, unknown>) =>
      rows.set(String(row.id), row),
    );
    return [...rows.values()]
      .filter(row => row.type === 'outbound-rtp' && row.kind === 'video')
      .map(row => ({
        rid: typeof row.rid === 'string' ? row.rid : '',
        width: Number(row.frameWidth ?? 0),
        mode: typeof row.scalabilityMode === 'string' ? row.scalabilityMode : '',
        active: row.active !== false,
        frames: Number(row.framesEncoded ?? 0),
        codec: rows.get(String(row.codecId))?.mimeType as string,
      }));
  });
}

/** Codecs of the pictures that arrive. */
function received(who: Person): Promise<string[]> {
  return who.page.evaluate(async () => {
    const rows = new Map<string, Record<string, unknown>>();
    (await window.peers.at(-1)?.getStats())?.forEach((row: Record<string, unknown>) =>
      rows.set(String(row.id), row),
    );
    const pictures = [...rows.values()].filter(
      row => row.type === 'inbound-rtp' && row.kind === 'video' && Number(row.framesDecoded ?? 0) > 0,
    );
    return pictures.map(row => rows.get(String(row.codecId))?.mimeType as string);
  });
}

const SMALL = { width: 360, height: 330 };
const LARGE = { width: 1280, height: 800 };

/** Ana in one region sends, Ben in the other changes the size of his window. */
async function follows(
  room: string,
  settings: Record<string, unknown>,
  codec: string,
  mode: RegExp,
): Promise<void> {
  const ana = await person('Ana', settings);
  const ben = await person('Ben', { quality: 'saving', cameraOn: false });
  await ana.join(room, 'eu');
  await ben.page.setViewportSize(LARGE);
  await ben.join(room, 'us');
  await eventually(async () => (await ben.stats('Ana')).framesDecoded, 40_000).toBeGreaterThan(10);
  expect(await received(ben)).toEqual([`video/${codec}`]);
  const encodings = await sent(ana);
  expect(encodings.every(each => each.codec === `video/${codec}`)).toBe(true);
  await eventually(async () => (await sent(ana)).map(each => each.mode).join()).toMatch(mode);
  const full = Math.max(...(await sent(ana)).map(each => each.width));
  await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeGreaterThan(full * 0.45);

  // The tile shrinks: a smaller layer is enough, and what nobody watches is no longer made.
  await ben.page.setViewportSize(SMALL);
  await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeLessThan(330);
  const working = async () => {
    const before = await sent(ana);
    await new Promise(resolve => setTimeout(resolve, 700));
    const after = await sent(ana);
    const makes = after.filter(
      ({ rid, frames }) => frames > (before.find(each => each.rid === rid)?.frames ?? 0),
    );
    return Math.max(0, ...makes.map(each => each.width));
  };
  await eventually(working, 30_000).toBeLessThan(full);
  expect(await working(), 'but something is').toBeGreaterThan(0);

  // It grows again: the larger layer is made again, and comes.
  await ben.page.setViewportSize(LARGE);
  await eventually(working, 30_000).toBe(full);
  await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeGreaterThan(full * 0.9);
  const before = (await ben.stats('Ana')).framesDecoded;
  await eventually(async () => (await ben.stats('Ana')).framesDecoded).toBeGreaterThan(before + 10);
}

describe('the picture follows the tile', () => {
  it(
    'VP9, spatial layers that meet at key frames',
    () => follows('vp9', { codec: 'VP9', quality: 'saving' }, 'VP9', /L2T3_KEY/),
    120_000,
  );

  it(
    'AV1, spatial layers that refer to each other',
    () => follows('av1', { codec: 'AV1', quality: 'saving' }, 'AV1', /L2T3/),
    120_000,
  );

  it(
    'H264, several encodings',
    () => follows('h264', { codec: 'H264', quality: 'saving' }, 'H264', /.*/),
    120_000,
  );
});

describe('a browser without a codec', () => {
  it('is sent nothing of it, and its page says so', async () => {
    const ana = await person('Ana', { codec: 'AV1', quality: 'saving' });
    const ben = await person('Ben', { quality: 'saving', cameraOn: false }, 'AV1');
    const cleo = await person('Cleo', { quality: 'saving' });
    await ana.join('codecs', 'eu');
    await ben.join('codecs', 'us');
    await cleo.join('codecs', 'us');
    await eventually(async () => (await cleo.stats('Ana')).framesDecoded, 40_000).toBeGreaterThan(5);
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).toContain(
      'cannot show this picture (AV1)',
    );
    expect(await ben.tile('Ana').getByText('cannot show this picture').isVisible()).toBe(true);
    await eventually(async () => (await ben.stats('Cleo')).framesDecoded).toBeGreaterThan(5);
    expect(await received(ben)).toEqual(['video/VP8']);
    expect((await received(cleo)).sort()).toEqual(['video/AV1']);
  }, 120_000);
});
