/** A class: pages of pictures, people found among many, and somebody called to the stage and back. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mesh } from './mesh';
import { eventually, openBrowser, Person } from './people';

let mesh: Mesh;
let browser: Browser;
let host: Person;
let gus: Person;
const opened: { close: () => Promise<void> }[] = [];

beforeAll(async () => {
  mesh = await Mesh.start();
  opened.push(mesh);
  browser = await openBrowser();
  opened.push(browser);
  host = await Person.open(browser, mesh, 'Hanna');
  gus = await Person.open(browser, mesh, 'Gus');
  opened.push(host, gus);
  await host.join('class', 'eu', '&as=host');
  await gus.join('class', 'us', '&as=audience');
});

afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

describe('a class over two regions', () => {
  it('counts the audience instead of showing it', async () => {
    await eventually(() => host.page.locator('.stage-more').textContent()).toBe('1 in the audience');
    expect(await host.tile('Gus').count()).toBe(0);
    await eventually(async () => (await gus.stats('Hanna')).framesDecoded).toBeGreaterThan(10);
    await expect(gus.page.getByRole('button', { name: 'Camera off' }).isDisabled()).resolves.toBe(true);
  });

  it('calls somebody to the stage and back in the same session', async () => {
    await host.page.getByRole('button', { name: /^People/ }).click();
    await host.page.getByRole('button', { name: 'Invite Gus to the stage' }).click();
    await gus.page.getByText('Hanna invites you to the stage').waitFor();
    // Nobody is shown unasked.
    await eventually(() => host.tile('Gus').count()).toBe(1);
    expect((await host.stats('Gus')).framesDecoded).toBe(0);
    await gus.page.getByRole('button', { name: 'Go on stage' }).click();
    await eventually(async () => (await host.stats('Gus')).framesDecoded).toBeGreaterThan(20);
    expect(await gus.connections(), 'the session goes on').toBe(1);

    await host.page.getByRole('button', { name: 'Always hear Gus' }).click();
    const before = await host.heard();
    await eventually(() => host.heard()).toBeGreaterThan(before + 1e-5);

    await host.page.getByRole('button', { name: 'Move Gus to the audience' }).click();
    await gus.page.getByText('Hanna moved you to the audience').waitFor();
    await eventually(() => host.tile('Gus').count()).toBe(0);
    await eventually(async () => (await gus.stats('Hanna')).framesDecoded).toBeGreaterThan(20);
  });

  it('turns pages and finds people', async () => {
    const bots = mesh.load(
      ...['--room', 'class', '--scenario', 'class', '--people', '12', '--tiles', '2', '--within', '1'],
      ...[
        '--region',
        'eu,us',
        '--seconds',
        '30',
        '--tile',
        '160x90',
        '--join-p95-ms',
        '30000',
        '--frozen-max',
        '9',
      ],
    );
    await host.page.setViewportSize({ width: 720, height: 420 });
    const status = host.page.locator('.pager [role=status]');
    await eventually(() => status.textContent()).toMatch(/^Page 1 of [2-9]$/);
    // Pages are what they are once everybody is there: twelve bots, the host and the audience.
    await host.page
      .getByRole('button', { name: /^People/ })
      .getByText('14')
      .waitFor();
    // Read at once, with who is there only because of speaking left out: that is one on each page at most. A short page may have nobody
    // else for a moment.
    const silent = async () => {
      let keys: (string | undefined)[] = [];
      const look = async () => {
        const tiles = host.page.locator('article.tile:not(.own):not(.speaking)');
        keys = await tiles.evaluateAll(all => all.map(tile => tile.dataset.track));
        return keys.length;
      };
      await eventually(look).toBeGreaterThan(0);
      return keys;
    };
    await host.page.locator('body').press('PageDown');
    await eventually(() => status.textContent()).toMatch(/^Page 2 of/);
    await eventually(() => host.page.locator('article.tile video.shown').count()).toBeGreaterThan(0);
    const second = await silent();
    await host.page.locator('body').press('PageDown');
    await eventually(() => status.textContent()).toMatch(/^Page 3 of/);
    await eventually(() => host.page.locator('article.tile video.shown').count()).toBeGreaterThan(0);
    const third = await silent();
    expect(third.filter(key => second.includes(key))).toEqual([]);
    await host.page.getByLabel('Find somebody').fill('11 publish');
    await eventually(() => host.page.locator('li[data-person]').count()).toBe(1);
    const outcome = await bots;
    expect(outcome.joined).toBe(12);
  });
});
