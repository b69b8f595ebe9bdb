/** From what is on the screen to what the edge is told of it. */
import type { Tile, TrackName } from './generated';
import { trackKey } from './names';

/** Sizes settle this long before the edge hears of them: a window being dragged is not news sixty times a second. */
export const VIEW_SETTLE_MS = 150;
/** A page in the background keeps its pictures this long: switching tabs to and fro costs no key frames. */
export const HIDDEN_GRACE_MS = 5_000;
const SIDE_MAX = 65_535;

/** One tile as the page shows it, in CSS pixels. */
export interface Shown {
  track: TrackName;
  width: number;
  height: number;
  pinned: boolean;
}

/** The view for the edge: device pixels, most important first (pinned, screens, larger before smaller). */
export function viewOf(shown: Shown[], pixelRatio: number, hidden: boolean): Tile[] {
  const side = (css: number) => (hidden ? 0 : Math.min(SIDE_MAX, Math.round(css * pixelRatio)));
  const rank = (tile: Shown) => (tile.pinned ? 0 : tile.track.source === 'screen' ? 1 : 2);
  const largest = new Map<string, Shown>();
  for (const tile of shown) {
    const key = trackKey(tile.track);
    const before = largest.get(key);
    // A track may be shown twice (stage and strip): the larger one decides.
    if (!before || area(tile) > area(before)) largest.set(key, tile);
  }
  return [...largest.values()]
    .map((tile, place) => ({ tile, place }))
    .sort((a, b) => rank(a.tile) - rank(b.tile) || area(b.tile) - area(a.tile) || a.place - b.place)
    .map(({ tile }) => ({
      track: tile.track,
      width: side(tile.width),
      height: side(tile.height),
      pinned: tile.pinned,
    }));
}

/** Whether two views say the same. */
export function sameView(a: readonly Tile[], b: readonly Tile[]): boolean {
  return (
    a.length === b.length &&
    a.every((tile, i) => {
      const other = b[i];
      return (
        other !== undefined &&
        trackKey(tile.track) === trackKey(other.track) &&
        tile.width === other.width &&
        tile.height === other.height &&
        tile.pinned === other.pinned
      );
    })
  );
}

function area(tile: Shown): number {
  return tile.width * tile.height;
}
