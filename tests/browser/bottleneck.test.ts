/** A viewer behind a line that is too narrow for what is published, and then no longer is. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { describeOnNetwork, Network, type Place } from './network';
import { eventually, openBrowser, Person } from './people';

/** Too narrow for the largest layer (1.7 Mbit/s), wide enough for a smaller one (500 or 150 kbit/s) and a voice. */
const NARROW_KBPS = 600;
const WIDE_KBPS = 6_000;
/** Nobody waits longer than this for a picture that fits. */
const ADAPTED_WITHIN_MS = 40_000;

describeOnNetwork('a viewer behind a bottleneck', { timeout: 240_000 }, () => {
  const opened: { close: () => Promise<void> | void }[] = [];
  let line: Place;
  let ana: Person;
  let ben: Person;

  beforeAll(async () => {
    const network = Network.open();
    opened.push(network);
    line = network.place('ben');
    const mesh = await Mesh.start(network.address);
    opened.push(mesh);
    const there = await openBrowser({ place: network.place('ana'), secure: [mesh.url] });
    const here = await openBrowser({ place: line, secure: [mesh.url] });
    opened.push(there, here);
    ana = await Person.open(there, mesh, 'Ana', { viewport: { width: 360, height: 330 } });
    ben = await Person.open(here, mesh, 'Ben', { viewport: { width: 1280, height: 800 } });
    opened.push(ana, ben);
    // 720 lines are sent in three layers.
    await ana.page.addInitScript(() => localStorage.setItem('lyceum', JSON.stringify({ quality: 'high' })));
    await ana.join('narrow', 'eu');
    await ben.join('narrow', 'eu');
    await ben.page.getByRole('button', { name: 'Keep Ana large' }).click();
  });

  afterAll(async () => {
    for (const each of opened.reverse()) await each.close();
  });

  const width = async () => (await ben.stats('Ana')).width;

  it('gets a smaller picture when the line narrows, and the large one back when it widens', async () => {
    await eventually(width, ADAPTED_WITHIN_MS).toBeGreaterThan(1_000);

    line.weather({ rateDown: NARROW_KBPS });
    await eventually(width, ADAPTED_WITHIN_MS).toBeLessThanOrEqual(640);
    // It moves: what the line cannot carry is not sent into its queue.
    const narrow = await ben.stats('Ana');
    const made = (await ana.sent()).frames;
    await eventually(async () => (await ana.sent()).frames, ADAPTED_WITHIN_MS).toBeGreaterThan(made + 200);
    const later = await ben.stats('Ana');
    expect(later.framesDecoded - narrow.framesDecoded).toBeGreaterThan(100);
    expect(later.width).toBeLessThanOrEqual(640);

    line.weather({ rateDown: WIDE_KBPS });
    await eventually(width, ADAPTED_WITHIN_MS).toBeGreaterThan(1_000);
  });
});
