/** First pause between two attempts. A socket cut by a changing network is usually back at once. */
export const PAUSE_FIRST_MS = 200;
/** Longest pause: a person who watches a banner should not wait longer for the next attempt. */
export const PAUSE_MAX_MS = 5_000;

/**
 * The pause before attempt `attempt` (from 0): doubles up to the maximum, the upper half of it by chance, so that
 * a class that lost its edge does not come back in one step. `random` is in [0, 1).
 */
export function pauseMs(attempt: number, random: number): number {
  const whole = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(attempt, 16));
  return whole / 2 + (whole / 2) * random;
}
