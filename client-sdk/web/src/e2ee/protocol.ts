/** What the page and the worker say to each other. */
import type { ParticipantId, SlotKind, TrackName } from '../generated';
import type { OpenFault, Person } from './opener';
import type { Key } from './keyring';

/** What a transform is made with. */
export type TransformOptions =
  { side: 'seal'; track: TrackName; identity: string } | { side: 'open'; slot: number; kind: SlotKind };

export type ToWorker =
  | { do: 'key'; identity: string | null; key: Key }
  /** Who came and who left. */
  | { do: 'people'; came: Person[]; left: ParticipantId[] };

/** How it is with what comes in through a slot, whenever it changes. `fault` null: it is opened. */
export interface FromWorker {
  slot: number;
  participant: ParticipantId | null;
  fault: OpenFault | null;
}
