import type { Participant } from '@lyceum/client';
import { describe, expect, it } from 'vitest';
import { inOrder, matching, rowsInSight } from './find';

const person = (name: string, more: Partial<Participant> = {}): Participant => ({
  id: name,
  identity: name,
  name,
  edge: 'eu-1',
  region: 'eu',
  publishes: [],
  on_stage: true,
  moderates: false,
  ...more,
});

describe('the list of people', () => {
  it('is in order of what one looks for', () => {
    const people = [
      person('zoe', { on_stage: false }),
      person('Ben 10'),
      person('ben 9'),
      person('Cy', { publishes: [{ source: 'camera', codec: 'VP8', muted: false }] }),
      person('Teacher', { moderates: true }),
      person('Me'),
    ];
    expect(inOrder(people, 'Me').map(each => each.name)).toEqual([
      'Me',
      'Teacher',
      'Cy',
      'ben 9',
      'Ben 10',
      'zoe',
    ]);
  });

  it('is searched by any part of a name, with or without accents', () => {
    const people = [person('Ana María Gómez'), person('Anabel Stone'), person('Jörg')];
    const found = (search: string) => matching(people, search).map(each => each.name);
    expect(found('  ')).toHaveLength(3);
    expect(found('gomez ana')).toEqual(['Ana María Gómez']);
    expect(found('ANA')).toEqual(['Ana María Gómez', 'Anabel Stone']);
    expect(found('jorg')).toEqual(['Jörg']);
    expect(found('nobody')).toEqual([]);
  });

  it('draws what is in sight, however many there are', () => {
    expect(rowsInSight(300, 50, 0, 500)).toEqual({ first: 0, end: 18 });
    expect(rowsInSight(300, 50, 5_000, 500)).toEqual({ first: 92, end: 118 });
    expect(rowsInSight(300, 50, 14_500, 500)).toEqual({ first: 282, end: 300 });
    expect(rowsInSight(3, 50, 9_999, 500), 'after a search the list is shorter than it was scrolled').toEqual(
      {
        first: 3,
        end: 3,
      },
    );
    expect(rowsInSight(0, 50, 0, 500)).toEqual({ first: 0, end: 0 });
  });
});
