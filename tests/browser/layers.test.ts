/** Codecs and layers between two regions, as Chromium encodes and decodes them. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { type Encoding, eventually, openBrowser, Person } from './people';

/** Pictures in which a layer that is made at all is made. */
const LOOK = 10;
const SMALL = { width: 360, height: 330 };
const LARGE = { width: 1280, height: 800 };

let mesh: Mesh;
let browser: Browser;
let ana: Person;
let ben: Person;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mesh = await Mesh.start();
  browser = await openBrowser();
  opened.push(mesh, browser);
  ana = await person('Ana', { quality: 'saving' });
  ben = await person('Ben', { quality: 'saving', cameraOn: false });
  await ana.join('layers', 'eu');
  await ben.page.setViewportSize(LARGE);
  await ben.join('layers', 'us');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

/** Somebody whose page remembers these settings. */
async function person(name: string, settings: Record<string, unknown>, without?: string): Promise<Person> {
  const who = await Person.open(browser, mesh, name);
  opened.push(who);
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

/** What Ana's encodings did while one of them made some pictures. */
async function atWork(): Promise<Encoding[]> {
  const before = await ana.encodings();
  const made = ({ rid, frames }: Encoding) => frames - (before.find(each => each.rid === rid)?.frames ?? 0);
  await eventually(async () => Math.max(...(await ana.encodings()).map(made))).toBeGreaterThanOrEqual(LOOK);
  return (await ana.encodings()).filter(each => made(each) > 0);
}

const widest = (encodings: Encoding[]) => Math.max(0, ...encodings.map(({ width }) => width));
const shown = async () => (await ben.stats('Ana')).width;

// `keyFrames`: at most so many to resume. An encoder that changes the layers within its one encoding is given longer than it takes,
// but on a busy machine not always: then it is asked as well, and once more by who had gone back to the smaller layer meanwhile.
// Tried again once: with other work on the machine the larger picture stayed in one run of several, and why is not known yet.
describe(
  'the picture follows the tile, and what nobody watches is not made',
  { timeout: 180_000, retry: 1 },
  () => {
    it.each([
      { codec: 'VP8', how: 'several encodings', mode: /L1T3/, keyFrames: 1 },
      { codec: 'VP9', how: 'spatial layers that meet at key frames', mode: /L2T3_KEY/, keyFrames: 3 },
      { codec: 'AV1', how: 'spatial layers that refer to each other', mode: /L2T3/, keyFrames: 3 },
      { codec: 'H264', how: 'several encodings', mode: /.*/, keyFrames: 1 },
    ])('$codec, $how', async ({ codec, mode, keyFrames }) => {
      await ben.page.setViewportSize(LARGE);
      await ana.sendAs(codec);
      await eventually(() => ben.codecs(), 40_000).toEqual([`video/${codec}`]);
      await eventually(async () => (await ana.encodings()).map(each => each.mode).join()).toMatch(mode);
      expect((await ana.encodings()).every(each => each.codec === `video/${codec}`)).toBe(true);
      await eventually(async () => widest(await ana.encodings()), 30_000).toBe(640);
      await eventually(shown, 30_000).toBe(640);
      const { rid } = (await ana.encodings()).find(({ width }) => width === 640) ?? { rid: '' };
      const top = (encodings: Encoding[]) => encodings.find(each => each.rid === rid);

      await eventually(async () => (await atWork()).length, 30_000).toBe(1);

      // The tile shrinks: a smaller layer is enough, and the larger one rests.
      await ben.page.setViewportSize(SMALL);
      await eventually(shown, 30_000).toBe(320);
      await eventually(async () => widest(await atWork()), 30_000).toBe(320);
      const resting = await ana.encodings();
      await atWork();
      const rested = await ana.encodings();
      if (rested.length > 1) expect(top(rested)?.frames, 'pictures of who rests').toBe(top(resting)?.frames);

      // It grows: the larger layer is made again, from one key frame on.
      await ben.page.setViewportSize(LARGE);
      await eventually(shown, 30_000).toBe(640);
      expect(widest(await atWork())).toBe(640);
      const now = await ana.encodings();
      const resumed = (top(now)?.keyFrames ?? 0) - (top(rested)?.keyFrames ?? 0);
      expect(resumed, 'key frames to resume').toBeGreaterThan(0);
      expect(resumed, 'key frames to resume').toBeLessThanOrEqual(keyFrames);

      // Nobody looks: nothing is made at all, until somebody does.
      await ben.hide(true);
      let last = -1;
      const standsStill = async () => {
        const frames = (await ana.encodings()).reduce((sum, each) => sum + each.frames, 0);
        const still = frames === last;
        last = frames;
        return still;
      };
      await eventually(standsStill, 30_000).toBe(true);
      const asleep = await ana.encodings();
      const seen = await ben.stats('Ana');
      await ben.hide(false);
      await eventually(async () => (await ben.stats('Ana')).framesDecoded, 30_000).toBeGreaterThan(
        seen.framesDecoded + LOOK,
      );
      await eventually(shown, 30_000).toBe(640);
      const awake = await ana.encodings();
      for (const { rid, keyFrames: made } of awake) {
        const slept = asleep.find(each => each.rid === rid);
        expect(made - (slept?.keyFrames ?? 0), `key frames of ${rid} to wake up`).toBeLessThanOrEqual(
          keyFrames,
        );
      }
    });
  },
);

describe('a browser without a codec', { timeout: 120_000 }, () => {
  it('is sent nothing of it, and its page says so', async () => {
    await ana.sendAs('AV1');
    const cem = await person('Cem', { quality: 'saving' }, 'AV1');
    await cem.join('layers', 'us');
    await eventually(() => cem.tile('Ana').getAttribute('aria-label')).toContain(
      'cannot show this picture (AV1)',
    );
    expect(await cem.tile('Ana').getByText('cannot show this picture').isVisible()).toBe(true);
    // Its own VP8 beside Ana's AV1 for who has both.
    await eventually(() => ben.codecs(), 40_000).toEqual(['video/AV1', 'video/VP8']);
    expect(await cem.codecs()).toEqual([]);
  });
});
