/** Finding people in a class of hundreds. Pure. */
import type { Participant, ParticipantId } from '@lyceum/client';

const names = new Intl.Collator(undefined, { sensitivity: 'base', numeric: true });

/** Oneself first, then who moderates, who shows or says something, who may, the audience; by name within each. */
export function inOrder(people: readonly Participant[], me: ParticipantId | undefined): Participant[] {
  return people
    .map(person => ({ person, rank: rank(person, me) }))
    .sort((a, b) => a.rank - b.rank || names.compare(a.person.name, b.person.name))
    .map(({ person }) => person);
}

/** Those whose name has all the words, in any order and without regard to case or accents. */
export function matching(people: readonly Participant[], search: string): readonly Participant[] {
  const words = plain(search).split(/\s+/).filter(Boolean);
  if (!words.length) return people;
  return people.filter(person => {
    const name = plain(person.name);
    return words.every(word => name.includes(word));
  });
}

/** Which rows of a long list to draw: those in sight and a few around, so that scrolling finds them there. */
export function rowsInSight(
  count: number,
  rowHeight: number,
  scrolled: number,
  height: number,
): { first: number; end: number } {
  const first = Math.max(0, Math.min(count, Math.floor(scrolled / rowHeight) - SPARE_ROWS));
  const end = Math.min(count, Math.ceil((scrolled + height) / rowHeight) + SPARE_ROWS);
  return { first, end: Math.max(first, end) };
}

const SPARE_ROWS = 8;

function plain(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLocaleLowerCase();
}

function rank(person: Participant, me: ParticipantId | undefined): number {
  if (person.id === me) return 0;
  if (person.moderates) return 1;
  if (person.publishes.some(track => !track.muted)) return 2;
  return person.on_stage ? 3 : 4;
}
