/** Watches the tiles on the page and says when what is shown has changed. */
import type { Tile, TrackName } from './generated';
import { HIDDEN_GRACE_MS, sameView, type Shown, VIEW_SETTLE_MS, viewOf } from './view';

export class ViewTracker {
  readonly #changed: (tiles: Tile[]) => void;
  readonly #tiles = new Map<Element, Shown>();
  readonly #resize: ResizeObserver;
  #last: Tile[] | null = null;
  #hidden = false;
  #settle: ReturnType<typeof setTimeout> | undefined;
  #hide: ReturnType<typeof setTimeout> | undefined;

  constructor(changed: (tiles: Tile[]) => void) {
    this.#changed = changed;
    this.#resize = new ResizeObserver(entries => {
      for (const { target, contentRect } of entries) {
        const tile = this.#tiles.get(target);
        if (tile) Object.assign(tile, { width: contentRect.width, height: contentRect.height });
      }
      this.#later();
    });
    document.addEventListener('visibilitychange', this.#visibility);
  }

  /** A tile shows a track from now on; the function returned ends it. */
  show(element: Element, track: TrackName, pinned = false): () => void {
    const { width, height } = element.getBoundingClientRect();
    this.#tiles.set(element, { track, width, height, pinned });
    this.#resize.observe(element);
    this.#later();
    return () => {
      this.#resize.unobserve(element);
      this.#tiles.delete(element);
      this.#later();
    };
  }

  /** What is shown now, for a new session. */
  current(): Tile[] {
    return viewOf([...this.#tiles.values()], window.devicePixelRatio, this.#hidden);
  }

  close(): void {
    clearTimeout(this.#settle);
    clearTimeout(this.#hide);
    this.#resize.disconnect();
    document.removeEventListener('visibilitychange', this.#visibility);
  }

  readonly #visibility = (): void => {
    clearTimeout(this.#hide);
    if (document.hidden) {
      this.#hide = setTimeout(() => {
        this.#hidden = true;
        this.#later();
      }, HIDDEN_GRACE_MS);
    } else {
      this.#hidden = false;
      this.#later();
    }
  };

  #later(): void {
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => {
      const view = this.current();
      if (this.#last && sameView(this.#last, view)) return;
      this.#last = view;
      this.#changed(view);
    }, VIEW_SETTLE_MS);
  }
}
