/** Edges that go, and where their people find themselves. */
import { type Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Apart } from './mesh';
import { eventually, openBrowser, Person } from './people';

let apart: Apart;
let browser: Browser;
let ana: Person;
let ben: Person;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  apart = await Apart.start({ eu: ['eu-1', 'eu-2', 'eu-3'], us: ['us-1'] });
  opened.push(apart);
  browser = await openBrowser();
  opened.push(browser);
  ana = await Person.open(browser, apart, 'Ana');
  ben = await Person.open(browser, apart, 'Ben');
  opened.push(ana, ben);
  await ana.join('move', 'eu');
  await ben.join('move', 'us');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

/** The edge somebody is on, as the page says. */
async function edgeOf(person: Person): Promise<string> {
  const said = await person.page.locator('.room-edge').textContent();
  return /edge (\S+) in/.exec(said ?? '')?.[1] ?? '';
}

async function seeEachOther(): Promise<void> {
  for (const [who, whom] of [
    [ana, 'Ben'],
    [ben, 'Ana'],
  ] as const) {
    await eventually(() => who.tile(whom).count(), 40_000).toBe(1);
    const before = await who.stats(whom);
    await eventually(async () => (await who.stats(whom)).framesDecoded, 40_000).toBeGreaterThan(
      before.framesDecoded + 20,
    );
  }
}

describe('an edge that goes', () => {
  it.each([
    { how: 'says bye first', end: (node: string) => apart.edge(node).close() },
    { how: 'dies', end: (node: string) => apart.edge(node).kill() },
  ])(
    'and $how: its people are on another one, by themselves, and nothing written is lost',
    async ({ how, end }) => {
      await seeEachOther();
      const [edge, connections] = [await edgeOf(ana), await ana.connections()];
      expect(edge).toMatch(/^eu-/);
      const line = `written before it ${how}`;
      await ana.openChat();
      await ben.openChat();
      await ben.write(line);
      await eventually(() => ana.chat()).toContain(line);

      await end(edge);
      await eventually(() => ana.connections(), 40_000).toBe(connections + 1);
      await ana.connected();
      expect(await edgeOf(ana)).toMatch(/^eu-/);
      expect(await edgeOf(ana)).not.toBe(edge);
      await seeEachOther();
      const after = `written after it ${how}`;
      await ana.write(after);
      for (const who of [ana, ben]) {
        await eventually(async () => (await who.chat()).filter(text => text === after).length).toBe(1);
        expect((await who.chat()).filter(text => text === line).length).toBe(1);
      }
    },
  );
});
