/** The test network itself: what it says is lost, blocked and narrow is so. */
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnNetwork, Network, type Place } from './network';
import { eventually } from './people';

/** Sends numbered packets of some size to an address from where it is run. */
const SENDER = `
  const [, port, address, count, size, from] = process.argv;
  const socket = require('node:dgram').createSocket('udp4');
  socket.bind(Number(from), async () => {
    for (let i = 0; i < Number(count); i++)
      await new Promise(done => socket.send(Buffer.alloc(Number(size), i), Number(port), address, done));
    socket.close();
  });
`;

describeOnNetwork('a network of one’s own', { timeout: 150_000 }, () => {
  let network: Network;
  let ana: Place;
  let mesh: Socket;
  let received = 0;

  beforeAll(async () => {
    network = Network.open();
    ana = network.place('ana');
    mesh = createSocket('udp4');
    mesh.on('message', () => received++);
    mesh.bind(0, network.address);
    await once(mesh, 'listening');
  });

  afterAll(() => {
    mesh.close();
    network.close();
  });

  /** Sends from the place, and one more packet round everything to know that all have had their time. */
  async function send(count: number, size = 200, from = 0): Promise<number> {
    received = 0;
    const { port } = mesh.address();
    const args = ['-e', SENDER, ...[port, network.address, count, size, from].map(String)];
    const child = spawn('ip', ['netns', 'exec', ana.namespace, process.execPath, ...args], {
      stdio: 'inherit',
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
    return received;
  }

  it('loses nothing of itself', async () => {
    await send(500);
    await eventually(() => received).toBe(500);
    expect(ana.lost('up')).toBe(0);
  });

  it('loses what it is told to, without the sender’s noticing, and counts it', async () => {
    ana.weather({ lossUp: 200 });
    // No more at once than wait in a socket for who is busy elsewhere.
    for (let sent = 200; sent <= 1000; sent += 200) {
      const before = ana.lost('up');
      await send(200);
      await eventually(() => received + ana.lost('up') - before).toBe(200);
    }
    // 200 expected; seven standard deviations to either side.
    expect(ana.lost('up')).toBeGreaterThan(110);
    expect(ana.lost('up')).toBeLessThan(290);
  });

  it('blocks a port and nothing else', async () => {
    ana.weather({ blocked: ['udp sport 5999'] });
    const before = ana.lost('up');
    await send(10, 200, 5999);
    await eventually(() => ana.lost('up') - before).toBe(10);
    await send(10, 200, 5998);
    await eventually(() => received).toBe(10);
  });

  it('lets through no more than a narrow line and the queue before it hold', async () => {
    ana.weather({ rateUp: 80 });
    // 100 kB at once into a queue of 6 kB: some 4 packets wait, a few more pass meanwhile.
    await send(100, 1000);
    expect(received).toBeLessThan(50);
    ana.weather({});
    await send(100, 1000);
    await eventually(() => received).toBeGreaterThanOrEqual(100);
  });
});
