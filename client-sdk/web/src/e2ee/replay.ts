/** Which counters of one sender have been seen: an edge must not be able to show or say something again. */

/** Counters remembered: at three layers of 60 frames a second, 45 s. What is older than that is taken for a repeat. */
export const WINDOW = 8_192n;

/**
 * Sound comes once. A picture may be begun again at a key frame: an edge shows who comes back the newest one it has kept,
 * and what follows it. So a key frame within the window starts afresh, and what is older than the window stays shut.
 */
export class ReplayWindow {
  #highest = -1n;
  readonly #seen = new Uint8Array(Number(WINDOW / 8n));

  /** Whether an authentic frame may be used. */
  accept(ctr: bigint, isKeyFrame: boolean): boolean {
    if (ctr + WINDOW <= this.#highest) return false;
    if (isKeyFrame) this.#seen.fill(0);
    else if (ctr <= this.#highest && this.#has(ctr)) return false;
    for (let passed = this.#highest + 1n; passed < ctr; passed++) {
      if (passed + WINDOW <= ctr) passed = ctr - WINDOW;
      else this.#mark(passed, false);
    }
    this.#mark(ctr, true);
    if (ctr > this.#highest) this.#highest = ctr;
    return true;
  }

  #has(ctr: bigint): boolean {
    const bit = Number(ctr % WINDOW);
    return ((this.#seen[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }

  #mark(ctr: bigint, seen: boolean): void {
    const bit = Number(ctr % WINDOW);
    const byte = this.#seen[bit >> 3] ?? 0;
    this.#seen[bit >> 3] = seen ? byte | (1 << (bit & 7)) : byte & ~(1 << (bit & 7));
  }
}
