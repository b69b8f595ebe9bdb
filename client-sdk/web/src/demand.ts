/**
 * Which encodings of the own tracks to send: those that anybody in the mesh watches.
 *
 * Wanted: at once. No longer wanted: after a grace, since whoever changes the layout is often back in a moment, and an
 * encoding that comes back costs a key frame.
 */
import type { RidDemand, Source } from './generated';

/** How long an encoding that nobody watches is still sent. Edges wait a while themselves before they say so. */
export const PAUSE_GRACE_MS = 1_000;

/** More spatial layers than any encoding has. */
const SPATIAL_ALL = 8;

/** Before an edge has said anything, everything is sent. */
export class Demand {
  /** When each encoding is to be paused; `null`: watched. */
  readonly #pauseAt = new Map<string, number | null>();
  /** Of encodings with several spatial layers: the highest watched, and when to come down to it. */
  readonly #spatial = new Map<Source, { highest: number; before: number; at: number }>();

  /** The edge has told what is watched of a source. */
  said(source: Source, watched: RidDemand[], nowMs: number, spatial: number | null = null): void {
    if (spatial === null) this.#spatial.delete(source);
    else {
      const before = this.spatial(source, nowMs) ?? SPATIAL_ALL;
      const at = spatial < before ? nowMs + PAUSE_GRACE_MS : nowMs;
      this.#spatial.set(source, { highest: spatial, before, at });
    }

    for (const layer of watched) {
      const key = `${source}/${layer.rid}`;
      const before = this.#pauseAt.get(key);
      if (layer.watched) this.#pauseAt.set(key, null);
      else if (before === undefined || before === null) this.#pauseAt.set(key, nowMs + PAUSE_GRACE_MS);
    }
  }

  /** Something else is sent as this source from now on: what was said of the former encodings does not hold for it. */
  forget(source: Source): void {
    this.#spatial.delete(source);
    for (const key of [...this.#pauseAt.keys()]) if (key.startsWith(`${source}/`)) this.#pauseAt.delete(key);
  }

  /** Whether to send an encoding. */
  active(source: Source, rid: string, nowMs: number): boolean {
    const pauseAt = this.#pauseAt.get(`${source}/${rid}`);
    return pauseAt === undefined || pauseAt === null || nowMs < pauseAt;
  }

  /** The highest spatial layer within the source's encoding to send; `null`: all there are. */
  spatial(source: Source, nowMs: number): number | null {
    const said = this.#spatial.get(source);
    if (!said) return null;
    const highest = nowMs < said.at ? said.before : said.highest;
    return highest === SPATIAL_ALL ? null : highest;
  }

  /** When to look again: the next grace that runs out after `nowMs`. */
  deadline(nowMs: number): number | null {
    const all = [...this.#pauseAt.values(), ...[...this.#spatial.values()].map(({ at }) => at)];
    const ahead = all.filter((at): at is number => at !== null && at > nowMs);
    return ahead.length ? Math.min(...ahead) : null;
  }
}
