import { describe, expect, it } from 'vitest';
import { sameView, type Shown, viewOf } from './view';

const shown = (participant: string, width: number, more: Partial<Shown> = {}): Shown => ({
  track: { participant, source: 'camera' },
  width,
  height: width / 2,
  pinned: false,
  ...more,
});

describe('the view', () => {
  it('names the most important tile first', () => {
    const tiles = viewOf(
      [
        shown('small', 100),
        shown('large', 400),
        shown('screen', 50, { track: { participant: 'screen', source: 'screen' } }),
        shown('pinned', 80, { pinned: true }),
        shown('small-too', 100),
      ],
      1,
      false,
    );
    expect(tiles.map(tile => tile.track.participant)).toEqual([
      'pinned',
      'screen',
      'large',
      'small',
      'small-too',
    ]);
  });

  it('speaks of device pixels', () => {
    expect(viewOf([shown('ana', 161)], 1.5, false)[0]).toMatchObject({ width: 242, height: 121 });
    expect(viewOf([shown('ana', 50_000)], 3, false)[0]?.width).toBe(65_535);
  });

  it('pauses everything while the page is hidden, and keeps the order', () => {
    const tiles = viewOf([shown('ana', 100), shown('ben', 200)], 2, true);
    expect(tiles.map(tile => [tile.track.participant, tile.width, tile.height])).toEqual([
      ['ben', 0, 0],
      ['ana', 0, 0],
    ]);
  });

  it('counts a track that is shown twice once, at its largest', () => {
    expect(viewOf([shown('ana', 100), shown('ana', 300)], 1, false)).toHaveLength(1);
    expect(viewOf([shown('ana', 300), shown('ana', 100)], 1, false)[0]?.width).toBe(300);
  });

  it('is the same only when nothing differs', () => {
    const view = viewOf([shown('ana', 100), shown('ben', 200)], 1, false);
    expect(sameView(view, [...view])).toBe(true);
    expect(sameView(view, view.slice(1))).toBe(false);
    expect(sameView(view, [...view].reverse())).toBe(false);
    expect(sameView(view, viewOf([shown('ana', 101), shown('ben', 200)], 1, false))).toBe(false);
    const pinned = viewOf([shown('ana', 100), shown('ben', 200, { pinned: true })], 1, false);
    expect(pinned.map(tile => tile.pinned)).toEqual([true, false]);
    expect(sameView(view, pinned)).toBe(false);
  });
});
