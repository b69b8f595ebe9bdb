/** The ways in that are shut, the words about it, and what both screens look like. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { barriers } from './barriers';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

const SHOTS = fileURLToPath(new URL('./shots/', import.meta.url));
const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  isMobile: true,
  hasTouch: true,
};

let mesh: Mesh;
let browser: Browser;

/** What was opened, to be closed even when what came after it did not open. */
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

describe('a door that stays shut says why', () => {
  it.each([
    { case: 'nonsense for a token', token: () => 'nonsense', words: 'This invitation is not valid.' },
    {
      case: 'a token for another room',
      token: async () => (await mesh.token('elsewhere')).token,
      words: 'This invitation is for another room.',
    },
    {
      case: 'a token whose time is over',
      token: async () => {
        const { token, expires_at } = await mesh.token('physics', 1);
        // Clocks may differ by five seconds.
        await eventually(() => Date.now() / 1000).toBeGreaterThan(expires_at + 5);
        return token;
      },
      words: 'This invitation has expired. Ask for a new link.',
    },
  ])('$case', async ({ token, words }) => {
    const eve = await Person.open(browser, mesh, 'Eve');
    await eve.goto(`/?room=physics#token=${await token()}`);
    await eve.page.getByLabel('Your name').fill('Eve');
    await eve.page.getByRole('button', { name: 'Join the room' }).click();
    await eventually(() => eve.page.getByRole('alert').textContent()).toContain(words);
    await eve.close();
  });

  it('a name is needed', async () => {
    const eve = await Person.open(browser, mesh, 'Eve');
    await eve.goto('/?room=physics');
    await eve.page.getByRole('button', { name: 'Join the room' }).click();
    await eventually(() => eve.page.getByRole('alert').textContent()).toContain('tell the others your name');
    expect(await eve.page.evaluate(() => document.activeElement?.getAttribute('autocomplete'))).toBe('name');
    await eve.close();
  });
});

describe('a camera that is refused', () => {
  it('is said in words and keeps nobody out', async () => {
    const [ana, eve] = [await Person.open(browser, mesh, 'Ana'), await Person.open(browser, mesh, 'Eve')];
    await eve.page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException('refused', 'NotAllowedError'));
    });
    await ana.join('shy', 'eu');
    await eve.goto('/?room=shy');
    await eve.page.getByText('was not allowed to use the camera and microphone').waitFor();
    await eve.join('shy', 'us');
    await eventually(async () => (await eve.stats('Ana')).framesDecoded).toBeGreaterThan(10);
    await eventually(() => eve.heard()).toBeGreaterThan(1e-5);
    await eventually(() => ana.tile('Eve').getAttribute('aria-label')).toContain('camera off');
    await eve.close();
    await ana.close();
  });
});

describe('both screens', () => {
  it.each([
    { look: 'light', options: { colorScheme: 'light' } },
    { look: 'dark', options: { colorScheme: 'dark' } },
    { look: 'phone', options: { ...PHONE, colorScheme: 'light' } },
  ] satisfies { look: string; options: BrowserContextOptions }[])(
    '$look: for everybody',
    async ({ look, options }) => {
      const size = look === 'phone' ? {} : { viewport: { width: 1280, height: 800 } };
      const [ana, ben] = [
        await Person.open(browser, mesh, 'Ana', { ...options, ...size }),
        await Person.open(browser, mesh, 'Ben', { viewport: { width: 400, height: 300 } }),
      ];
      await ana.goto('/');
      await ana.page.locator('.preview .shown').waitFor();
      await ana.page.getByRole('radio', { name: 'us' }).waitFor();
      await ana.page.screenshot({ path: `${SHOTS}start-${look}.png`, fullPage: true });
      expect(await barriers(ana)).toEqual([]);

      await ben.join(`look-${look}`, 'us');
      await ana.join(`look-${look}`, 'eu');
      await ana.tile('Ben').locator('video.shown').waitFor({ state: 'attached' });
      await eventually(() => ana.tile('Ben').locator('.tile-path').textContent()).toMatch(/^us → eu/);
      await ana.page.screenshot({ path: `${SHOTS}room-${look}.png` });
      expect(await barriers(ana)).toEqual([]);
      await ana.openChat();
      await ana.write('Good morning!');
      await eventually(() => ana.chat()).toEqual(['Good morning!']);
      await ana.page.screenshot({ path: `${SHOTS}chat-${look}.png` });
      expect(await barriers(ana)).toEqual([]);
      await ana.close();
      await ben.close();
    },
  );

  it('can be used with the keyboard alone', async () => {
    const ana = await Person.open(browser, mesh, 'Ana');
    await ana.join('keys', 'eu');
    const { page } = ana;
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('m');
    expect(
      await page.getByRole('button', { name: 'Mute', exact: true }).count(),
      'not from within a dialog',
    ).toBe(1);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('p');
    await page.getByRole('complementary', { name: 'People' }).waitFor();
    await page.keyboard.press('c');
    await page.getByRole('complementary', { name: 'Chat' }).waitFor();
    await page.keyboard.type('mvc');
    expect(
      await page.getByLabel('Write to everybody').inputValue(),
      'letters are letters where one writes',
    ).toBe('mvc');
    await page.keyboard.press('Escape');
    await page.getByRole('complementary').waitFor({ state: 'detached' });
    await ana.close();
  });
});
