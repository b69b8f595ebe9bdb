/** What each receive slot of the peer connection carries. */
import type { SlotAssignment, SlotKind, TrackName } from './generated';
import { trackKey, type TrackKey } from './names';

/** Video slots asked for, in steps, so that a growing class costs few re-offers. */
export const VIDEO_SLOT_STEPS = [4, 9, 16, 25, 36, 49] as const;

/** The number of video slots to have when `tiles` tiles are shown and there are `have`: never shrinks. */
export function videoSlotsFor(tiles: number, have: number): number {
  if (tiles <= have) return have;
  return (
    VIDEO_SLOT_STEPS.find(step => step >= tiles) ?? VIDEO_SLOT_STEPS[VIDEO_SLOT_STEPS.length - 1] ?? have
  );
}

/** Older edges do not say whether it is paused. */
export type Assigned = Omit<SlotAssignment, 'paused'> & Partial<Pick<SlotAssignment, 'paused'>>;

/** One slot. */
export interface Slot {
  readonly mid: string;
  readonly kind: SlotKind;
  readonly track: TrackName | null;
  /** The way here does not carry it now: its last picture stands. */
  readonly paused: boolean;
}

/** Slots by mid, and the way back from a track to its slot. */
export class SlotMap {
  readonly #slots = new Map<string, Slot>();
  readonly #byTrack = new Map<TrackKey, string>();

  /** A slot has been offered. */
  add(mid: string, kind: SlotKind): void {
    if (!this.#slots.has(mid)) this.#slots.set(mid, { mid, kind, track: null, paused: false });
  }

  /** Takes in assignments; returns the tracks whose slot changed or was paused, those that lost theirs included. */
  apply(assigned: Assigned[]): Set<TrackKey> {
    const touched = new Set<TrackKey>();
    for (const { mid, track, paused = false } of assigned) {
      const slot = this.#slots.get(mid);
      if (!slot) continue;
      if (slot.track) {
        const key = trackKey(slot.track);
        // The track may already have moved on to another slot within the same message.
        if (this.#byTrack.get(key) === mid) this.#byTrack.delete(key);
        touched.add(key);
      }
      if (track) {
        this.#byTrack.set(trackKey(track), mid);
        touched.add(trackKey(track));
      }
      this.#slots.set(mid, { ...slot, track, paused });
    }
    return touched;
  }

  /** The slot that carries a track. */
  of(track: TrackName): Slot | undefined {
    const mid = this.#byTrack.get(trackKey(track));
    return mid === undefined ? undefined : this.#slots.get(mid);
  }

  all(): Slot[] {
    return [...this.#slots.values()];
  }

  count(kind: SlotKind): number {
    return this.all().filter(slot => slot.kind === kind).length;
  }
}
