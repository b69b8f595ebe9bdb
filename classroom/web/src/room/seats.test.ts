import { describe, expect, it } from 'vitest';
import { type Person, seats } from './seats';

const people = (text: string): Person[] =>
  text.split(' ').map(word => ({ id: word.toLowerCase(), hasPicture: word !== word.toLowerCase() }));

describe('seats (capitals: with a picture)', () => {
  it.each([
    { case: 'everybody fits', of: 'A B c', speaks: '', room: 5, before: '', then: 'a b c' },
    { case: 'pictures first', of: 'a B c D', speaks: '', room: 2, before: '', then: 'b d' },
    { case: 'places are kept', of: 'A B C D', speaks: '', room: 3, before: 'c a b', then: 'c a b' },
    {
      case: 'who speaks and is seen stays where he is',
      of: 'A B C',
      speaks: 'b',
      room: 2,
      before: 'a b',
      then: 'a b',
    },
    {
      case: 'who speaks and is not seen takes the last silent place',
      of: 'A B C',
      speaks: 'c',
      room: 2,
      before: 'a b',
      then: 'a c',
    },
    {
      case: 'rather the place of one without a picture',
      of: 'a B C',
      speaks: 'c',
      room: 2,
      before: 'a b',
      then: 'c b',
    },
    {
      case: 'a picture that comes on takes the place of one without',
      of: 'a b C',
      speaks: '',
      room: 2,
      before: 'a b',
      then: 'a c',
    },
    { case: 'but not of one who speaks', of: 'a b C', speaks: 'b', room: 2, before: 'a b', then: 'c b' },
    { case: 'who left is gone', of: 'A C', speaks: '', room: 2, before: 'a b', then: 'a c' },
    { case: 'no room at all', of: 'A B', speaks: 'a', room: 0, before: '', then: '' },
    { case: 'more speakers than places', of: 'A B C', speaks: 'c b a', room: 2, before: 'a b', then: 'c b' },
  ])('$case', ({ of, speaks, room, before, then }) => {
    const words = (text: string) => text.split(' ').filter(word => word !== '');
    expect(seats(people(of), words(speaks), room, words(before)).join(' ')).toBe(then);
  });
});
