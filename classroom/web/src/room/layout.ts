/** How many tiles fit, and how large they are. Pure arithmetic in CSS pixels. */

export interface Box {
  width: number;
  height: number;
}

export interface Grid {
  columns: number;
  rows: number;
  /** One tile. */
  tile: Box;
}

/** Space between tiles. */
export const GAP = 10;
/** Faces are still faces at this width. */
export const TILE_WIDTH_MIN = 150;
/** More pictures than this nobody looks at, and few computers decode. */
export const TILES_MAX = 25;
/** A tile is never flatter than a camera's picture … */
const ASPECT_MAX = 16 / 9;
/** … and never narrower than this: in between, the picture is cropped rather than the space wasted. */
const ASPECT_MIN = 1;

/** The grid in which `count` tiles become largest in `box`. */
export function bestGrid(count: number, box: Box): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), tile: { width: 0, height: 0 } };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const cell = {
      width: (box.width - GAP * (columns - 1)) / columns,
      height: (box.height - GAP * (rows - 1)) / rows,
    };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const tile = fit(cell);
    if (tile.width * tile.height > best.tile.width * best.tile.height) best = { columns, rows, tile };
  }
  return { ...best, tile: { width: Math.floor(best.tile.width), height: Math.floor(best.tile.height) } };
}

/** How many tiles of a useful size `box` holds: at least one. */
export function capacity(box: Box): number {
  let fits = 1;
  for (let count = 2; count <= TILES_MAX; count++) {
    if (bestGrid(count, box).tile.width >= TILE_WIDTH_MIN) fits = count;
  }
  return fits;
}

function fit({ width, height }: Box): Box {
  const aspect = width / height;
  if (aspect > ASPECT_MAX) return { width: height * ASPECT_MAX, height };
  if (aspect < ASPECT_MIN) return { width, height: width / ASPECT_MIN };
  return { width, height };
}
