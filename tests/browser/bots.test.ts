/** Browsers and simulated participants in one room: two engines that know nothing of each other agree on every byte. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadOutcome, Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

let mesh: Mesh;
let browser: Browser;
let ana: Person;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
  ana = await Person.open(browser, mesh, 'Ana');
  opened.push(ana);
  await ana.join('mixed', 'eu');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

/** Everybody came in and nobody was thrown out; how fast this machine is does not matter here. */
function fine(outcome: LoadOutcome): void {
  expect(outcome.troubles.filter(trouble => trouble.what !== 'generator_late')).toEqual([]);
  expect(outcome.joined).toBe(outcome.bots);
  expect(outcome.corrupt).toBe(0);
}

describe('a browser and bots in one room', () => {
  it('the browser sees and hears a bot of the other region', async () => {
    const bots = mesh.load(
      '--room',
      'mixed',
      '--publishers',
      '1',
      '--viewers',
      '0',
      '--region',
      'us',
      '--seconds',
      '14',
    );
    await eventually(async () => (await ana.stats('publisher 0')).framesDecoded).toBeGreaterThan(30);
    const before = await ana.heard();
    await eventually(() => ana.heard()).toBeGreaterThan(before + 1e-5);
    await eventually(() => ana.tile('publisher 0').locator('.tile-path').textContent()).toMatch(/^us → eu/);
    fine(await bots);
    await eventually(() => ana.tile('publisher 0').count()).toBe(0);
  });

  it('bots of both regions receive what the browser sends, whole', async () => {
    const outcome = await mesh.load(
      ...['--room', 'mixed', '--publishers', '0', '--viewers', '2', '--slots', '1'],
      ...['--region', 'eu,us', '--seconds', '6', '--ramp-ms', '100'],
    );
    fine(outcome);
    expect(outcome.frames).toBeGreaterThan(60);
    expect(outcome.audio_packets).toBeGreaterThan(100);
  });

  it('a native client, a bot and the browser all see each other: three engines', async () => {
    const bots = mesh.load(
      ...['--room', 'mixed', '--publishers', '1', '--viewers', '0', '--slots', '2'],
      ...['--region', 'us', '--seconds', '16'],
    );
    await eventually(async () => (await ana.stats('publisher 0')).framesDecoded).toBeGreaterThan(5);
    const native = mesh.native('--room', 'mixed', '--name', 'Native', '--region', 'us', '--seconds', '10');
    await eventually(async () => (await ana.stats('Native')).framesDecoded).toBeGreaterThan(20);
    // Slots for voices have frames too, but no size.
    const frames = new Map<string, number>();
    for (const [, slot, count] of (await native).matchAll(/slot (\S+): (\d+) frames.*size Some/g))
      frames.set(slot ?? '', Number(count));
    const seen = [...frames.values()].filter(count => count > 20);
    expect(seen.length, `slots with pictures of ${JSON.stringify([...frames])}`).toBe(2);
    const outcome = await bots;
    fine(outcome);
    expect(outcome.frames).toBeGreaterThan(60);
  });
});
