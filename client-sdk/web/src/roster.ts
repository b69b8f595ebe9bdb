/** Who is in the room. */
import type { Participant, ParticipantId } from './generated';

/** What a change of the roster did. */
export interface RosterChange {
  came: Participant[];
  changed: Participant[];
  left: Participant[];
}

/** People by id, in the order they were first told of. */
export class Roster {
  #people = new Map<ParticipantId, Participant>();
  #total = 0;
  /** Whom the pages of a whole roster have named so far; null when none is under way. */
  #named: Set<ParticipantId> | null = null;
  #snapshot: readonly Participant[] = [];

  /** Everybody known, as one array that is replaced, never changed. */
  get people(): readonly Participant[] {
    return this.#snapshot;
  }

  /** How many are in the room, oneself included. */
  get total(): number {
    return this.#total;
  }

  find(id: ParticipantId): Participant | undefined {
    return this.#people.get(id);
  }

  /** A whole roster follows: who is on none of its pages has left. */
  expectWhole(): void {
    this.#named = new Set();
  }

  /** Takes in a roster message, which may be one page of several. */
  apply(said: { present: Participant[]; gone: ParticipantId[]; total: number; more: boolean }): RosterChange {
    const change: RosterChange = { came: [], changed: [], left: [] };
    const named = this.#named;
    for (const person of said.present) named?.add(person.id);
    let gone = said.gone;
    if (named && !said.more) {
      gone = [...gone, ...[...this.#people.keys()].filter(id => !named.has(id))];
      this.#named = null;
    }
    for (const id of gone) {
      const person = this.#people.get(id);
      if (person && this.#people.delete(id)) change.left.push(person);
    }
    for (const person of said.present) {
      const before = this.#people.get(person.id);
      this.#people.set(person.id, person);
      if (!before) change.came.push(person);
      else if (JSON.stringify(before) !== JSON.stringify(person)) change.changed.push(person);
    }
    this.#total = said.total;
    this.#snapshot = [...this.#people.values()];
    return change;
  }
}
