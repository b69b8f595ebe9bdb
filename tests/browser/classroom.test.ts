/** A lesson over two regions, as people see, hear and read it. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

let mesh: Mesh;
let browser: Browser;
let ana: Person;
let ben: Person;

/** What was opened, to be closed even when what came after it did not open. */
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
  ana = await Person.open(browser, mesh, 'Ana');
  ben = await Person.open(browser, mesh, 'Ben');
  opened.push(ana, ben);
  await ana.join('lesson', 'eu');
  await ben.join('lesson', 'us');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

describe('two people in two regions', () => {
  it('see each other', async () => {
    for (const [who, whom] of [
      [ana, 'Ben'],
      [ben, 'Ana'],
    ] as const) {
      await eventually(async () => (await who.stats(whom)).framesDecoded).toBeGreaterThan(20);
      await eventually(() => who.tile(whom).locator('video.shown').count()).toBe(1);
    }
  });

  it('hear each other', async () => {
    for (const who of [ana, ben]) {
      const before = await who.heard();
      await eventually(() => who.heard()).toBeGreaterThan(before + 1e-5);
    }
  });

  it('see where the picture comes from and how long it takes', async () => {
    await eventually(() => ben.tile('Ana').locator('.tile-path').textContent()).toMatch(
      /^eu → us, (< 1|\d+) ms$/,
    );
    await eventually(() => ana.tile('Ben').locator('.tile-path').textContent()).toMatch(
      /^us → eu, (< 1|\d+) ms$/,
    );
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).toContain('edge eu');
  });

  it('get a larger picture when the tile grows, and a smaller one when it shrinks', async () => {
    await ben.page.setViewportSize({ width: 360, height: 330 });
    await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeLessThan(330);
    const small = await ben.stats('Ana');
    expect(small.width).toBeGreaterThan(0);
    await ben.page.setViewportSize({ width: 1280, height: 800 });
    await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeGreaterThan(small.width * 1.5);
    await ben.page.setViewportSize({ width: 360, height: 330 });
    await eventually(async () => (await ben.stats('Ana')).width, 30_000).toBeLessThanOrEqual(small.width);
    await ben.page.setViewportSize({ width: 800, height: 600 });
  });

  it('read the chat once and in one order', async () => {
    await ana.openChat();
    await ben.openChat();
    for (let i = 1; i <= 4; i++) await Promise.all([ana.write(`ana ${i}`), ben.write(`ben ${i}`)]);
    for (const who of [ana, ben]) await eventually(async () => (await who.chat()).length).toBe(8);
    const chat = await ana.chat();
    expect(await ben.chat()).toEqual(chat);
    expect(new Set(chat).size).toBe(8);
    for (const name of ['ana', 'ben']) {
      expect(chat.filter(text => text.startsWith(name))).toEqual([1, 2, 3, 4].map(i => `${name} ${i}`));
    }
    await ana.closeChat();
    await ben.closeChat();
  });

  it('are told how much they have not read', async () => {
    await ana.openChat();
    await ana.write('are you there?');
    await eventually(() => ben.page.getByRole('button', { name: /^Chat/ }).textContent()).toContain(
      '1 unread',
    );
    await ana.closeChat();
  });
});

describe('what one switches off', () => {
  it('microphone: the others are told', async () => {
    await ana.page.keyboard.press('m');
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).toContain('microphone off');
    await ana.page.keyboard.press('m');
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).not.toContain('microphone off');
    const before = await ben.heard();
    await eventually(() => ben.heard()).toBeGreaterThan(before + 1e-5);
  });

  it('camera: the picture goes, and comes back', async () => {
    await ana.page.keyboard.press('v');
    await eventually(() => ben.tile('Ana').getAttribute('aria-label')).toContain('camera off');
    await eventually(() => ben.tile('Ana').locator('video.shown').count()).toBe(0);
    await ana.page.keyboard.press('v');
    const before = await ben.seen();
    await eventually(() => ben.tile('Ana').locator('video.shown').count()).toBe(1);
    await eventually(() => ben.seen()).toBeGreaterThan(before + 10);
  });

  it('screen: it is large for the others while it is shared, and can be shared again', async () => {
    for (let round = 0; round < 2; round++) {
      await ana.page.keyboard.press('s');
      await eventually(async () => (await ben.stats('Ana’s screen')).framesDecoded).toBeGreaterThan(3);
      await ana.page.keyboard.press('s');
      await eventually(() => ben.tile('Ana’s screen').count()).toBe(0);
    }
  });
});

describe('a third person behind a strict firewall', () => {
  it('sees, hears and is seen through TURN', async () => {
    const cem = await Person.open(browser, mesh, 'Cem');
    await cem.join('lesson', 'us', '&relay');
    expect(await cem.way()).toBe('relay');
    await eventually(async () => (await cem.stats('Ana')).framesDecoded).toBeGreaterThan(10);
    await eventually(async () => (await cem.stats('Ben')).framesDecoded).toBeGreaterThan(10);
    await eventually(() => cem.heard()).toBeGreaterThan(1e-5);
    await eventually(async () => (await ana.stats('Cem')).framesDecoded).toBeGreaterThan(10);
    expect(await ana.way()).not.toBe('relay');

    await cem.page.getByRole('button', { name: 'Leave' }).click();
    await cem.page.getByText('You left “lesson”.').waitFor();
    await eventually(() => ana.tile('Cem').count()).toBe(0);
    await cem.close();
  });

  it('reads on arrival what was written before', async () => {
    const dora = await Person.open(browser, mesh, 'Dora');
    await dora.join('lesson', 'eu');
    await dora.openChat();
    await ana.openChat();
    await eventually(async () => (await ana.chat()).length).toBe(9);
    await eventually(() => dora.chat()).toEqual(await ana.chat());
    await ana.closeChat();
    await dora.close();
    await eventually(() => ben.tile('Dora').count()).toBe(0);
  });
});

describe('a socket that is cut', () => {
  it('costs nothing: what was written arrives once and in order, and the picture never stops', async () => {
    await ana.openChat();
    await ben.openChat();
    const before = await ben.chat();
    const connections = await ana.connections();
    await ana.cut();
    await ana.page.getByText('You still see and hear the room').waitFor();

    await ben.write('while you were away');
    await ana.write('from the other side');
    await ana.page.locator('.pending').waitFor();
    const frames = await ana.seen();
    // Five seconds of absence, told by the attempts to end it.
    await eventually(() => ana.socketsRefused).toBeGreaterThanOrEqual(4);
    expect(await ana.seen()).toBeGreaterThan(frames + 10);
    expect(await ana.chat()).toEqual(before);

    ana.socketsBlocked = false;
    await ana.connected();
    const said = ['while you were away', 'from the other side'];
    for (const who of [ana, ben]) await eventually(() => who.chat()).toEqual([...before, ...said]);
    expect(await ana.connections(), 'the media session is the same').toBe(connections);
    const after = await ben.seen();
    await eventually(() => ben.seen()).toBeGreaterThan(after + 10);
  });
});

describe('an edge that has forgotten the session', () => {
  it('is joined anew by itself: picture, sound and chat come back, and what was being written is posted once', async () => {
    await ana.openChat();
    await ben.openChat();
    const before = await ben.chat();
    const connections = await ana.connections();
    ana.sessionForgotten = true;
    await ana.cut();
    await ana.page.getByText('You still see and hear the room').waitFor();
    await ana.write('into the void');
    ana.socketsBlocked = false;
    await eventually(() => ana.connections()).toBe(connections + 1);
    await ana.connected();
    for (const who of [ana, ben]) await eventually(() => who.chat()).toEqual([...before, 'into the void']);
    await eventually(() => ben.page.locator('article.tile').count(), 40_000).toBe(2);
    for (const [who, whom] of [
      [ana, 'Ben'],
      [ben, 'Ana'],
    ] as const) {
      await eventually(async () => (await who.stats(whom)).framesDecoded).toBeGreaterThan(10);
    }
  });
});
