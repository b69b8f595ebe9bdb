/**
 * Who is on which page when not everybody fits: the first page has who matters now, the others everybody else in order.
 *
 * ```text
 *   page 1   seats: who was there before, who speaks        + oneself
 *   page 2…  the others, as they came                       + who speaks, if not on this page
 * ```
 *
 * While another page is shown nobody changes places with who sits on the first: pages that shift at every word cannot be read.
 */
import { type Person, seats } from './seats';

export interface Pages {
  /** The ids on the page, in order; oneself not among them. */
  ids: string[];
  /** The page shown, from 0: never beyond the last one. */
  page: number;
  /** How many there are, at least 1. */
  count: number;
  /** The ids of the first page, for the next time. */
  seated: string[];
}

/** What `page` shows when a page holds `places` tiles, one of them kept for oneself or the speaker. */
export function pageOf(
  people: readonly Person[],
  speakers: readonly string[],
  places: number,
  page: number,
  seatedBefore: readonly string[],
): Pages {
  const each = Math.max(1, places - 1);
  const seated = seats(people, page > 0 ? [] : speakers, Math.max(0, places - 1), seatedBefore);
  const onFirst = new Set(seated);
  const rest = people.filter(person => !onFirst.has(person.id)).map(person => person.id);
  const count = 1 + Math.ceil(rest.length / each);
  const shown = Math.max(0, Math.min(page, count - 1));
  if (shown === 0) return { ids: seated, page: 0, count, seated };
  const ids = rest.slice((shown - 1) * each, shown * each);
  const speaker = speakers.find(id => onFirst.has(id) || rest.includes(id));
  const first = speaker !== undefined && !ids.includes(speaker) ? [speaker] : [];
  return { ids: [...first, ...ids], page: shown, count, seated };
}
