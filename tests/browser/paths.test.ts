/** Ways to the edge that end, and ways round. */
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { describeOnNetwork, Network, type Place } from './network';
import { eventually, openBrowser, Person } from './people';

/** STUN's Binding request (RFC 8489 §5), the first word of a direct check. What goes through TURN begins otherwise. */
const DIRECT_CHECKS = 'meta l4proto udp @ih,0,16 0x0001';
const ALL_MEDIA = 'meta l4proto udp';

describeOnNetwork('a way to the edge that ends', { timeout: 150_000 }, () => {
  const opened: { close: () => Promise<void> | void }[] = [];
  let mesh: Mesh;
  let line: Place;
  let there: Browser;
  let ana: Person;
  let ben: Person;

  beforeAll(async () => {
    const network = Network.open();
    opened.push(network);
    line = network.place('ana');
    mesh = await Mesh.start(network.address);
    opened.push(mesh);
    there = await openBrowser({ place: line, secure: [mesh.url] });
    const here = await openBrowser({ place: network.place('ben'), secure: [mesh.url] });
    opened.push(there, here);
    ana = await Person.open(there, mesh, 'Ana');
    ben = await Person.open(here, mesh, 'Ben');
    opened.push(ana, ben);
    await ana.join('ways', 'eu');
    await ben.join('ways', 'us');
  });

  afterEach(() => line.weather({}));

  afterAll(async () => {
    for (const each of opened.reverse()) await each.close();
  });

  async function seeEachOther(): Promise<void> {
    for (const [who, whom] of [
      [ana, 'Ben'],
      [ben, 'Ana'],
    ] as const) {
      const before = await who.stats(whom);
      await eventually(async () => (await who.stats(whom)).framesDecoded).toBeGreaterThan(
        before.framesDecoded + 20,
      );
    }
  }

  it('for ever: another one is found by an ICE restart, within the session', async () => {
    await seeEachOther();
    const [connections, session, port] = [await ana.connections(), await ana.iceSession(), await ana.port()];
    line.weather({ blocked: [`udp sport ${port}`, `udp dport ${port}`] });
    await ana.page.getByText('Picture and sound are interrupted and coming back').waitFor();
    await ana.connected();
    expect(await ana.port(), 'another way').not.toBe(port);
    expect(await ana.iceSession(), 'found by a restart').not.toBe(session);
    expect(await ana.connections(), 'within the session').toBe(connections);
    await seeEachOther();
  });

  it('for a while: with nothing else to be had, it is taken again when it is back', async () => {
    const [connections, session] = [await ana.connections(), await ana.iceSession()];
    line.weather({ blocked: [ALL_MEDIA] });
    await ana.page.getByText('Picture and sound are interrupted and coming back').waitFor();
    // The restart is out, and has found nothing.
    await eventually(() => ana.iceSession()).not.toBe(session);
    line.weather({});
    await ana.connected();
    expect(await ana.connections(), 'within the session').toBe(connections);
    await seeEachOther();
  });

  it('is not there at all, where a firewall knows TURN and no ICE: the relay is taken', async () => {
    line.weather({ blocked: [DIRECT_CHECKS] });
    const cem = await Person.open(there, mesh, 'Cem');
    const before = line.lost('up');
    await cem.join('ways', 'eu');
    expect(line.lost('up'), 'the direct way was tried').toBeGreaterThan(before);
    expect(await cem.way()).toBe('relay');
    expect(await cem.connections()).toBe(1);
    await eventually(async () => (await cem.stats('Ben')).framesDecoded).toBeGreaterThan(20);
    await eventually(async () => (await ben.stats('Cem')).framesDecoded).toBeGreaterThan(20);
    await cem.close();
  });
});
