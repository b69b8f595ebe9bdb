import { describe, expect, it } from 'vitest';
import type { TrackName } from './generated';
import { SlotMap, videoSlotsFor } from './slots';

const ana: TrackName = { participant: 'ana', source: 'camera' };
const ben: TrackName = { participant: 'ben', source: 'camera' };

function three(): SlotMap {
  const slots = new SlotMap();
  slots.add('5', 'video');
  slots.add('6', 'video');
  slots.add('2', 'audio');
  return slots;
}

describe('slots', () => {
  it('are empty until they are assigned, and say which tracks were touched', () => {
    const slots = three();
    expect(slots.of(ana)).toBeUndefined();
    expect(slots.apply([{ mid: '5', track: ana }])).toEqual(new Set(['ana/camera']));
    expect(slots.of(ana)?.mid).toBe('5');
  });

  it('tell who came and who went when one takes the place of another', () => {
    const slots = three();
    slots.apply([{ mid: '5', track: ana }]);
    expect(slots.apply([{ mid: '5', track: ben }])).toEqual(new Set(['ana/camera', 'ben/camera']));
    expect(slots.of(ana)).toBeUndefined();
  });

  it.each([
    {
      order: 'taken before given',
      assigned: [
        { mid: '5', track: ben },
        { mid: '6', track: ana },
      ],
    },
    {
      order: 'given before taken',
      assigned: [
        { mid: '6', track: ana },
        { mid: '5', track: ben },
      ],
    },
  ])('may be exchanged in one message, $order', ({ assigned }) => {
    const slots = three();
    slots.apply([
      { mid: '5', track: ana },
      { mid: '6', track: ben },
    ]);
    slots.apply(assigned);
    expect(slots.of(ana)?.mid).toBe('6');
    expect(slots.of(ben)?.mid).toBe('5');
  });

  it('may be paused, with what they carry, and say so once more when they no longer are', () => {
    const slots = three();
    slots.apply([{ mid: '5', track: ana }]);
    expect(slots.of(ana)?.paused).toBe(false);
    expect(slots.apply([{ mid: '5', track: ana, paused: true }])).toEqual(new Set(['ana/camera']));
    expect(slots.of(ana)).toMatchObject({ mid: '5', paused: true });
    slots.apply([{ mid: '5', track: ana, paused: false }]);
    expect(slots.of(ana)?.paused).toBe(false);
  });

  it('stay as they are when not named, and unknown ones are passed over', () => {
    const slots = three();
    slots.apply([{ mid: '5', track: ana }]);
    expect(
      slots.apply([
        { mid: '6', track: null },
        { mid: '99', track: ben },
      ]),
    ).toEqual(new Set());
    expect(slots.of(ana)?.mid).toBe('5');
    expect(slots.count('video')).toBe(2);
  });

  it.each([
    [0, 4, 4],
    [4, 4, 4],
    [5, 4, 9],
    [17, 9, 25],
    [3, 25, 25],
    [500, 25, 49],
  ])('for %i tiles, having %i: %i', (tiles, have, want) => {
    expect(videoSlotsFor(tiles, have)).toBe(want);
  });
});
