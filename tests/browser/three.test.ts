/** Three spatial layers in one encoding, as Chromium makes them of a camera of 720 lines. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

/** Pictures in which it is seen that a layer goes on. */
const LOOK = 10;
/** Two square tiles side by side. */
const SIZES = [
  { viewport: { width: 2560, height: 1440 }, width: 1280, mode: 'L3T3_KEY' },
  { viewport: { width: 1280, height: 800 }, width: 640, mode: 'L2T3_KEY' },
  { viewport: { width: 2560, height: 1440 }, width: 1280, mode: 'L3T3_KEY' },
  { viewport: { width: 360, height: 330 }, width: 320, mode: 'L1T3' },
];

let dia: Person;
let edo: Person;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  const mesh = await Mesh.start();
  const browser = await openBrowser();
  opened.push(mesh, browser);
  const person = async (name: string, settings: Record<string, unknown>) => {
    const who = await Person.open(browser, mesh, name);
    opened.push(who);
    await who.page.addInitScript(kept => {
      localStorage.setItem('lyceum', JSON.stringify(kept));
    }, settings);
    return who;
  };
  dia = await person('Dia', { quality: 'high' });
  edo = await person('Edo', { quality: 'saving', cameraOn: false });
  await dia.join('three', 'eu');
  await edo.join('three', 'us');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

describe('a camera of 720 lines in VP9', { timeout: 180_000 }, () => {
  it('is seen in tiles of each size, and no more of it is made than the tile needs', async () => {
    await dia.sendAs('VP9');
    await eventually(() => edo.codecs(), 40_000).toEqual(['video/VP9']);
    const made = async () => (await dia.encodings()).find(each => each.codec === 'video/VP9')?.mode;
    for (const { viewport, width, mode } of SIZES) {
      await edo.page.setViewportSize(viewport);
      await eventually(async () => (await edo.stats('Dia')).width, 40_000).toBe(width);
      await eventually(made, 30_000).toBe(mode);
      const { framesDecoded } = await edo.stats('Dia');
      await eventually(async () => (await edo.stats('Dia')).framesDecoded, 30_000).toBeGreaterThan(
        framesDecoded + LOOK,
      );
    }
  });
});
