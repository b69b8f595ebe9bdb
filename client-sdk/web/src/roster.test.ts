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
  on_stage: true,
  moderates: false,
  ...more,
});

describe('the roster', () => {
  it('tells who came, changed and left', () => {
    const roster = new Roster();
    roster.apply({ present: [person('ana'), person('ben')], gone: [], total: 2, more: false });
    const change = roster.apply({
      present: [person('ana', { name: 'Ana' }), person('ben'), person('cem')],
      gone: ['nobody'],
      total: 3,
      more: false,
    });
    expect(change.came.map(each => each.id)).toEqual(['cem']);
    expect(change.changed.map(each => each.name)).toEqual(['Ana']);
    expect(change.left).toEqual([]);
    expect(
      roster.apply({ present: [], gone: ['ben'], total: 2, more: false }).left.map(each => each.id),
    ).toEqual(['ben']);
    expect(roster.people.map(each => each.id)).toEqual(['ana', 'cem']);
  });

  it('of a new session is whole: who is not in it has left', () => {
    const roster = new Roster();
    roster.apply({ present: [person('ana'), person('ben')], gone: [], total: 2, more: false });
    roster.expectWhole();
    const first = roster.apply({ present: [person('ben')], gone: [], total: 2, more: true });
    expect(first.left, 'nobody has left before the last page').toEqual([]);
    const change = roster.apply({ present: [person('cem')], gone: [], total: 2, more: false });
    expect([change.came, change.changed, change.left].map(each => each.map(({ id }) => id))).toEqual([
      ['cem'],
      [],
      ['ana'],
    ]);
  });

  it('hands out snapshots', () => {
    const roster = new Roster();
    const before = roster.people;
    roster.apply({ present: [person('ana')], gone: [], total: 1, more: false });
    expect(before).toEqual([]);
    expect(roster.people).not.toBe(before);
  });
});
