/** A publisher whose line to the edge loses packets, seen by somebody whose line does not. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { describeOnNetwork, Network, type Place } from './network';
import { eventually, openBrowser, Person, type Sent, type TileStats } from './people';

/** Pictures in one look: ten seconds of them. */
const FRAMES = 200;
/** Lost of a thousand. */
const LOSS = 50;
/** With every twentieth packet lost, one in nineteen goes out again; some of those are lost too. Twice that is allowed. */
const REPAIR_SHARE_MAX = 0.11;
/** All that is sent, repairs included, against what it was without loss. */
const GROWTH_MAX = 1.25;
/** Pictures that arrive of those that were made. */
const SEEN_MIN = 0.9;
/** A repair takes a round trip and the jitter buffer grows for it: that may be felt once or twice, not each time. */
const FREEZES_MAX = 3;

describeOnNetwork('a publisher whose uplink loses one packet in twenty', { timeout: 150_000 }, () => {
  const opened: { close: () => Promise<void> | void }[] = [];
  let uplink: Place;
  let ana: Person;
  let ben: Person;

  beforeAll(async () => {
    const network = Network.open();
    opened.push(network);
    uplink = network.place('ana');
    const mesh = await Mesh.start(network.address);
    opened.push(mesh);
    const there = await openBrowser({ place: uplink, secure: [mesh.url] });
    const here = await openBrowser({ place: network.place('ben'), secure: [mesh.url] });
    opened.push(there, here);
    ana = await Person.open(there, mesh, 'Ana');
    ben = await Person.open(here, mesh, 'Ben');
    opened.push(ana, ben);
    await ana.join('rain', 'eu');
    await ben.join('rain', 'us');
  });

  afterAll(async () => {
    for (const each of opened.reverse()) await each.close();
  });

  /** What happened while so many pictures were made. */
  async function look(
    frames: number,
  ): Promise<{ sent: Sent; kbps: number; seen: number; freezes: number; lost: number }> {
    const before: [Sent, TileStats, number] = [await ana.sent(), await ben.stats('Ana'), uplink.lost('up')];
    await eventually(async () => (await ana.sent()).frames, 60_000).toBeGreaterThan(
      before[0].frames + frames,
    );
    const [sent, seen, lost] = [await ana.sent(), await ben.stats('Ana'), uplink.lost('up')];
    const bytes = sent.bytes - before[0].bytes;
    return {
      sent: {
        ...sent,
        frames: sent.frames - before[0].frames,
        packets: sent.packets - before[0].packets,
        bytes,
        repairBytes: sent.repairBytes - before[0].repairBytes,
      },
      kbps: (bytes * 8) / (sent.atMs - before[0].atMs),
      seen: seen.framesDecoded - before[1].framesDecoded,
      freezes: seen.freezes - before[1].freezes,
      lost: lost - before[2],
    };
  }

  it('is seen all the while, and sends little more than before', async () => {
    await eventually(async () => (await ben.stats('Ana')).framesDecoded).toBeGreaterThan(20);
    // The browser begins low and finds its rate; what it sends meanwhile says nothing.
    await look(FRAMES);
    const dry = await look(FRAMES);
    expect(dry.lost).toBe(0);

    uplink.weather({ lossUp: LOSS });
    const rain = await look(FRAMES);
    expect(rain.lost / rain.sent.packets, 'it did rain').toBeGreaterThan(LOSS / 2000);
    expect(rain.seen / rain.sent.frames).toBeGreaterThan(SEEN_MIN);
    expect(rain.freezes).toBeLessThanOrEqual(FREEZES_MAX);
    expect(rain.sent.repairBytes / rain.sent.bytes).toBeLessThan(REPAIR_SHARE_MAX);
    expect(rain.kbps).toBeLessThan(dry.kbps * GROWTH_MAX);
    uplink.weather({});
  });
});
