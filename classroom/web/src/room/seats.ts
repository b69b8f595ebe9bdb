/**
 * Who has a place on the screen when not everybody fits.
 *
 * People keep their places: a grid that shuffles at every word is no grid. Only who speaks and is not to be seen takes
 * a place, from whoever has been silent and has no picture first.
 */

export interface Person {
  id: string;
  hasPicture: boolean;
}

/** The ids to show, in order. `before`: what this said last time. */
export function seats(
  people: readonly Person[],
  speakers: readonly string[],
  room: number,
  before: readonly string[],
): string[] {
  const known = new Map(people.map(person => [person.id, person]));
  const speaking = new Set(speakers.filter(id => known.has(id)).slice(0, room));
  const seated = before.filter(id => known.has(id));
  const rest = people.filter(person => !seated.includes(person.id));
  const waiting = [...rest.filter(person => person.hasPicture), ...rest.filter(person => !person.hasPicture)];
  for (const person of waiting) seated.push(person.id);

  const shown = seated.slice(0, room);
  for (const id of speaking) {
    if (shown.includes(id)) continue;
    const place = victim(shown, speaking, known);
    if (place >= 0) shown[place] = id;
  }
  // People with a picture do not wait while others sit there without one.
  for (const person of waiting) {
    if (!person.hasPicture || shown.includes(person.id)) continue;
    const place = shown.findLastIndex(id => !speaking.has(id) && known.get(id)?.hasPicture === false);
    if (place >= 0) shown[place] = person.id;
  }
  return shown;
}

function victim(shown: string[], speaking: Set<string>, known: Map<string, Person>): number {
  const silent = (id: string) => !speaking.has(id);
  const without = shown.findLastIndex(id => silent(id) && known.get(id)?.hasPicture === false);
  return without >= 0 ? without : shown.findLastIndex(silent);
}
