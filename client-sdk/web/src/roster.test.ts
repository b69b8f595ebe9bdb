import { describe, expect, it } from 'vitest';
import type { Participant } from './generated';
import { Roster } from './roster';

const person = (id: string, more: Partial<Participant> = {}): Participant => ({
  id,
  identity: id,
  name: id,
  edge: 'eu-1',
  region: 'eu',
  publishes: [],
  ...more,
});

describe('the roster', () => {
  it('tells who came, changed and left', () => {
    const roster = new Roster();
    roster.apply({ present: [person('ana'), person('ben')], gone: [], total: 2 });
    const change = roster.apply({
      present: [person('ana', { name: 'Ana' }), person('ben'), person('cem')],
      gone: ['nobody'],
      total: 3,
    });
    expect(change.came.map(each => each.id)).toEqual(['cem']);
    expect(change.changed.map(each => each.name)).toEqual(['Ana']);
    expect(change.left).toEqual([]);
    expect(roster.apply({ present: [], gone: ['ben'], total: 2 }).left.map(each => each.id)).toEqual(['ben']);
    expect(roster.people.map(each => each.id)).toEqual(['ana', 'cem']);
  });

  it('of a new session is whole: who is not in it has left', () => {
    const roster = new Roster();
    roster.apply({ present: [person('ana'), person('ben')], gone: [], total: 2 });
    const change = roster.apply({ present: [person('ben'), person('cem')], gone: [], total: 2 }, true);
    expect([change.came, change.changed, change.left].map(each => each.map(({ id }) => id))).toEqual([
      ['cem'],
      [],
      ['ana'],
    ]);
  });

  it('hands out snapshots', () => {
    const roster = new Roster();
    const before = roster.people;
    roster.apply({ present: [person('ana')], gone: [], total: 1 });
    expect(before).toEqual([]);
    expect(roster.people).not.toBe(before);
  });
});
