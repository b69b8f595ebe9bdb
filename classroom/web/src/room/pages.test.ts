import { describe, expect, it } from 'vitest';
import { pageOf } from './pages';

const people = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ id: `p${n}`, hasPicture: true }));

describe('pages of a class', () => {
  it('show everybody exactly once', () => {
    const all = people(299);
    const first = pageOf(all, [], 25, 0, []);
    expect(first.count).toBe(13);
    const seen = [...first.ids];
    for (let page = 1; page < first.count; page++) seen.push(...pageOf(all, [], 25, page, first.seated).ids);
    expect(seen).toHaveLength(299);
    expect(new Set(seen).size).toBe(299);
    expect(Math.max(...[0, 1, 12].map(page => pageOf(all, [], 25, page, first.seated).ids.length))).toBe(24);
  });

  it('keep who speaks in sight, once', () => {
    const all = people(60);
    const { seated } = pageOf(all, [], 10, 0, []);
    const third = pageOf(all, ['p3'], 10, 2, seated);
    expect(third.ids[0]).toBe('p3');
    expect(third.ids).toHaveLength(10);
    const there = pageOf(all, ['p20'], 10, 2, seated);
    expect(there.ids.filter(id => id === 'p20')).toHaveLength(1);
    expect(pageOf(all, ['p40'], 10, 0, seated).ids).toContain('p40');
  });

  it('do not shift while they are looked at, whoever speaks', () => {
    const all = people(60);
    const { seated } = pageOf(all, [], 10, 0, []);
    const second = pageOf(all, [], 10, 1, seated);
    const spoken = pageOf(all, ['p40', 'p50'], 10, 1, seated);
    expect(spoken.ids).toEqual(['p40', ...second.ids]);
    expect(spoken.seated).toEqual(seated);
    // Who still speaks when the first page is looked at again has a place there.
    const back = pageOf(all, ['p40'], 10, 0, spoken.seated);
    expect(back.ids).toContain('p40');
    expect(back.ids.filter(id => seated.includes(id))).toHaveLength(8);
  });

  it('shrink with the class: the last page there is', () => {
    expect(pageOf(people(5), [], 25, 7, [])).toMatchObject({ page: 0, count: 1 });
    expect(pageOf(people(30), [], 25, 7, [])).toMatchObject({ page: 1, count: 2 });
    expect(pageOf([], [], 25, 0, [])).toEqual({ ids: [], page: 0, count: 1, seated: [] });
  });

  it('work where a single tile fits', () => {
    const one = pageOf(people(3), [], 1, 0, []);
    expect(one.ids).toEqual([]);
    expect(one.count).toBe(4);
    expect(pageOf(people(3), [], 1, 2, one.seated).ids).toEqual(['p1']);
  });
});
