/** End-to-end encryption: who has the key sees and hears, nobody else does, the edge least of all. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { barriers } from './barriers';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

const SHOTS = fileURLToPath(new URL('./shots/', import.meta.url));
const WRONG_KEY = 'Encrypted with another key';

let mesh: Mesh;
let browser: Browser;
let ana: Person;
let ben: Person;
/** What is behind the # of a link to the room. */
let key: string;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
  ana = await Person.open(browser, mesh, 'Ana');
  ben = await Person.open(browser, mesh, 'Ben', { colorScheme: 'dark' });
  opened.push(ana, ben);
  await ana.goto('/?room=secret');
  await ana.page.getByRole('checkbox', { name: 'Encrypt end to end' }).check();
  await ana.page.screenshot({ path: `${SHOTS}e2ee-start-light.png`, fullPage: true });
  await ana.enter('eu');
  key = await ana.page.evaluate(() => location.hash);
  await ben.join('secret', 'us', key);
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

describe('two who have the key', { timeout: 300_000 }, () => {
  it('see and hear each other, and are told that it is encrypted', async () => {
    expect(key).toMatch(/^#key=[A-Za-z0-9_-]{22}$/);
    for (const [who, whom] of [
      [ana, 'Ben'],
      [ben, 'Ana'],
    ] as const) {
      await eventually(async () => (await who.stats(whom)).framesDecoded, 90_000).toBeGreaterThan(20);
      await eventually(() => who.tile(whom).locator('video.shown').count()).toBe(1);
      await eventually(() => who.heard()).toBeGreaterThan(1e-5);
      await who.page.getByText('End-to-end encrypted').waitFor();
    }
    await ben.page.screenshot({ path: `${SHOTS}e2ee-room-dark.png` });
    expect(await barriers(ben)).toEqual([]);
  });

  it('get the layer that fits the tile: the edge chooses without seeing anything', async () => {
    await ben.page.setViewportSize({ width: 360, height: 330 });
    await eventually(async () => (await ben.stats('Ana')).width, 90_000).toBeLessThan(330);
    const small = await ben.stats('Ana');
    expect(small.width).toBeGreaterThan(0);
    await ben.page.setViewportSize({ width: 1280, height: 800 });
    await eventually(async () => (await ben.stats('Ana')).width, 90_000).toBeGreaterThan(small.width * 1.5);
    await ben.page.setViewportSize({ width: 360, height: 330 });
    await eventually(async () => (await ben.stats('Ana')).width, 90_000).toBeLessThanOrEqual(small.width);
    await ben.page.setViewportSize({ width: 800, height: 600 });
  });

  it.each(['VP9', 'AV1', 'H264'])('in %s as well, layers and all', async codec => {
    await ana.sendAs(codec);
    await ben.page.setViewportSize({ width: 1280, height: 800 });
    await eventually(() => ben.codecs(), 60_000).toEqual([`video/${codec}`]);
    await eventually(async () => (await ben.stats('Ana')).width, 60_000).toBe(640);
    await ben.page.setViewportSize({ width: 360, height: 330 });
    await eventually(async () => (await ben.stats('Ana')).width, 60_000).toBe(320);
    await ben.page.setViewportSize({ width: 800, height: 600 });
    expect(await ben.tile('Ana').locator('video.shown').count()).toBe(1);
    const { framesDecoded } = await ben.stats('Ana');
    await eventually(async () => (await ben.stats('Ana')).framesDecoded).toBeGreaterThan(framesDecoded + 20);
  });
});

describe('somebody with another key', { timeout: 300_000 }, () => {
  it('sees and hears nothing, is told why, and sees everything once the right link is there', async () => {
    const eve = await Person.open(browser, mesh, 'Eve', { viewport: { width: 390, height: 700 } });
    await eve.join('secret', 'us', '#key=sesame');
    await eve.tile('Ana').getByText(WRONG_KEY).waitFor({ timeout: 90_000 });
    await eventually(() => eve.tile('Ana').getAttribute('aria-label')).toContain(WRONG_KEY);
    await eventually(() => eve.received('video')).toBeGreaterThan(200);
    await eventually(() => eve.received('audio')).toBeGreaterThan(200);
    expect(await eve.seen(), 'pictures').toBe(0);
    expect(await eve.heard(), 'sound').toBeLessThan(1e-9);
    await eventually(() => ana.tile('Eve').getByText(WRONG_KEY).count(), 90_000).toBe(1);
    await eve.page.screenshot({ path: `${SHOTS}e2ee-locked-phone.png` });
    expect(await barriers(eve)).toEqual([]);

    await eve.page.evaluate(hash => (location.hash = hash), key);
    await eventually(async () => (await eve.stats('Ana')).framesDecoded, 90_000).toBeGreaterThan(20);
    await eventually(() => eve.heard()).toBeGreaterThan(1e-5);
    await eventually(() => eve.tile('Ana').getByText(WRONG_KEY).count()).toBe(0);
    await eventually(async () => (await ana.stats('Eve')).framesDecoded, 90_000).toBeGreaterThan(20);
    await eve.close();
  });
});

describe('what the edge has', { timeout: 300_000 }, () => {
  /** Somebody without a key, whose page keeps the frames as the edge sent them. */
  async function tap(room: string): Promise<Person> {
    const tom = await Person.open(browser, mesh, 'Tom');
    await tom.page.addInitScript(keepFrames);
    await tom.join(room, 'us');
    await eventually(() => tom.page.evaluate(() => window.kept.length), 90_000).toBeGreaterThan(0);
    return tom;
  }

  it('is no picture: a decoder makes nothing of it, while it does of a room without encryption', async () => {
    const open = await Person.open(browser, mesh, 'Olga');
    await open.join('open', 'eu');
    const control = await tap('open');
    expect(await control.page.evaluate(decodeKept, 0), 'the tap and the decoder work').toMatch(/^\d+x\d+$/);
    await control.close();
    await open.close();

    await ana.sendAs('VP8');
    await eventually(() => ben.codecs(), 60_000).toContain('video/VP8');
    const tom = await tap('secret');
    // As it came, and without the ten bytes that say key frame and size.
    for (const cut of [0, 10]) expect(await tom.page.evaluate(decodeKept, cut)).toBe('nothing');
    expect(await tom.seen()).toBe(0);
    // And what he sends in clear is not shown to those who expect it encrypted.
    await eventually(() => ben.tile('Tom').getByText('Not encrypted, so not shown').count(), 90_000).toBe(1);
    await tom.close();
  });
});

declare global {
  interface Window {
    /** Key frames, as they came. */
    kept: Uint8Array[];
  }
}

/** In the page: every receiver's frames are looked at before they are decoded. */
function keepFrames(): void {
  window.kept = [];
  const work = `onrtctransform = ({ transformer: { readable, writable } }) => readable.pipeThrough(new TransformStream({
    transform(frame, through) {
      if (frame.type === 'key') postMessage(new Uint8Array(frame.data.slice(0)));
      through.enqueue(frame);
    } })).pipeTo(writable);`;
  const worker = new Worker(URL.createObjectURL(new Blob([work], { type: 'text/javascript' })));
  worker.onmessage = ({ data }: MessageEvent<Uint8Array>) => window.kept.push(data);
  const addTransceiver = Reflect.get(RTCPeerConnection.prototype, 'addTransceiver');
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const transceiver = addTransceiver.call(this, kind, init);
    if (kind === 'video') transceiver.receiver.transform = new RTCRtpScriptTransform(worker);
    return transceiver;
  };
}

/** In the page: the size of the picture in the newest key frame without its first bytes; `nothing` when it is none. */
async function decodeKept(cut: number): Promise<string> {
  const frame = window.kept.at(-1) ?? new Uint8Array();
  return new Promise(resolve => {
    const decoder = new VideoDecoder({
      output: picture => {
        resolve(`${picture.displayWidth}x${picture.displayHeight}`);
        picture.close();
      },
      error: () => resolve('nothing'),
    });
    decoder.configure({ codec: 'vp8' });
    try {
      decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp: 0, data: frame.slice(cut) }));
    } catch {
      // It sees at a glance that this is no key frame.
      resolve('nothing');
    }
    decoder.flush().then(
      () => resolve('nothing'),
      () => resolve('nothing'),
    );
  });
}
