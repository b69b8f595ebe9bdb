import { describe, expect, it } from 'vitest';
import { bestGrid, capacity, GAP, TILES_MAX } from './layout';

const windows = [
  { width: 1920, height: 900 },
  { width: 1256, height: 660 },
  { width: 374, height: 720 },
  { width: 700, height: 300 },
];

describe('the grid', () => {
  it.each(windows)('fits $width × $height with any number of tiles', box => {
    for (let count = 1; count <= TILES_MAX; count++) {
      const { columns, rows, tile } = bestGrid(count, box);
      expect(columns * rows).toBeGreaterThanOrEqual(count);
      expect(columns * tile.width + (columns - 1) * GAP).toBeLessThanOrEqual(box.width);
      expect(rows * tile.height + (rows - 1) * GAP).toBeLessThanOrEqual(box.height);
      expect(tile.width / tile.height).toBeGreaterThan(0.95);
      expect(tile.width / tile.height).toBeLessThan(1.82);
    }
  });

  it.each([
    [1, { width: 1256, height: 660 }, 1],
    [2, { width: 1256, height: 660 }, 2],
    [2, { width: 374, height: 720 }, 1],
    [4, { width: 1256, height: 660 }, 2],
    [9, { width: 1920, height: 1000 }, 3],
  ])('of %i in %o has %i columns', (count, box, columns) =>
    expect(bestGrid(count, box).columns).toBe(columns),
  );

  it('is empty in no space at all', () =>
    expect(bestGrid(3, { width: 0, height: 0 }).tile).toEqual({ width: 0, height: 0 }));

  it('holds fewer on a phone', () => {
    expect(capacity({ width: 1920, height: 900 })).toBe(TILES_MAX);
    expect(capacity({ width: 374, height: 720 })).toBeLessThan(16);
    expect(capacity({ width: 0, height: 0 })).toBe(1);
  });
});
