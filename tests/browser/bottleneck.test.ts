/** A viewer behind a line that is too narrow for what is published, and then no longer is. */
import { afterAll, beforeAll, it } from 'vitest';
import { Mesh } from './mesh';
import { describeOnNetwork, Network, type Place } from './network';
import { eventually, openBrowser, Person } from './people';

/** Too narrow for the largest layer (1.7 Mbit/s), wide enough for a smaller one (500 or 150 kbit/s) and a voice. */
const NARROW_KBPS = 600;
const WIDE_KBPS = 6_000;
/** Wide enough for a voice, and for no picture beside it. */
const VOICE_KBPS = 100;
/** Lost of a thousand, beside what the queue before the narrow line does not hold. */
const LOSS = 10;
/** Ways that carried next to nothing are tried again ever more seldom, up to every half minute. */
const BACK_WITHIN_MS = 90_000;
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

    line.weather({ rateDown: NARROW_KBPS, lossDown: LOSS });
    await eventually(width, ADAPTED_WITHIN_MS).toBeLessThanOrEqual(640);
    // It settles, and moves: what the line cannot carry is not sent into its queue. The queue from before, and a try of the large one
    // again, may stop it for some seconds: of 200 pictures in a row within that time most are seen.
    const settled = async () => {
      const before = await ben.stats('Ana');
      const made = (await ana.sent()).frames;
      await eventually(async () => (await ana.sent()).frames, ADAPTED_WITHIN_MS).toBeGreaterThan(made + 200);
      const after = await ben.stats('Ana');
      return after.width <= 640 && after.framesDecoded - before.framesDecoded > 100;
    };
    await eventually(settled, ADAPTED_WITHIN_MS).toBe(true);

    line.weather({ rateDown: WIDE_KBPS, lossDown: LOSS });
    await eventually(width, ADAPTED_WITHIN_MS).toBeGreaterThan(1_000);
  });

  it('hears on when no picture fits, is told that it is paused, and sees it again', async () => {
    const paused = ben.tile('Ana').getByText('Paused: your connection is too slow');
    line.weather({ rateDown: VOICE_KBPS });
    await eventually(() => paused.count(), ADAPTED_WITHIN_MS).toBe(1);
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).toContain('Paused');
    const [heard, seen] = [await ben.heard(), await ben.stats('Ana')];
    await eventually(() => ben.heard()).toBeGreaterThan(heard);
    line.weather({});
    await eventually(() => paused.count(), BACK_WITHIN_MS).toBe(0);
    await eventually(async () => (await ben.stats('Ana')).framesDecoded, BACK_WITHIN_MS).toBeGreaterThan(
      seen.framesDecoded + 20,
    );
  });
});
