/**
 * All work on frames, as a machine: keys, people and frames go in, frames and news come out. The worker around it has the
 * streams; tests have it as it is.
 */
import type { Source, SlotKind } from '../generated';
import { kindOf } from '../encodings';
import { csrcOf } from '../names';
import { Keyring } from './keyring';
import { Opener, type OpenFault, type Person } from './opener';
import { framingOf } from './payload';
import type { FromWorker, ToWorker, TransformOptions } from './protocol';
import { Sealer, type SealFault } from './sealer';

/** Frames in a row with the same fault before it is said: one that was touched on the way is no wrong key. */
export const FAULTS_BEFORE_SAID = 3;

/** What is known of a frame besides its bytes. */
export interface FrameFacts {
  mimeType: string | undefined;
  isKeyFrame: boolean;
  contributors: readonly number[];
}

const SOURCES: Record<SlotKind, readonly Source[]> = {
  audio: ['microphone', 'screen_audio'],
  video: ['camera', 'screen'],
  screen: ['screen', 'camera'],
};

/** Everybody's keys, and who is there. */
export class Desk {
  readonly keyring = new Keyring();
  readonly #people = new Map<number, Person[]>();
  readonly #tell: (news: FromWorker) => void;
  readonly #changed = new Set<() => void>();

  constructor(tell: (news: FromWorker) => void) {
    this.#tell = tell;
  }

  hear(message: ToWorker): void {
    switch (message.do) {
      case 'key':
        this.keyring.set(message.identity, message.key);
        break;
      case 'people':
        for (const id of message.left) this.#remove(id);
        for (const person of message.came) {
          this.#remove(person.id);
          const csrc = csrcOf(person.id);
          this.#people.set(csrc, [...(this.#people.get(csrc) ?? []), person]);
        }
        break;
    }
    for (const changed of this.#changed) changed();
  }

  /** The persons one of whom these packets are from. */
  who(contributors: readonly number[]): readonly Person[] {
    return contributors.flatMap(csrc => this.#people.get(csrc) ?? []);
  }

  /** A place to work at, one for each sender and receiver. */
  place(options: TransformOptions, askKeyFrame: () => void): Place {
    if (options.side === 'seal') {
      const sealer = new Sealer(this.keyring, options.track, options.identity);
      return new SealingPlace(sealer, kindOf(options.track.source));
    }
    const opener = new Opener(this.keyring, SOURCES[options.kind]);
    const place = new OpeningPlace(this, opener, options, this.#tell, askKeyFrame);
    const changed = () => place.again();
    this.#changed.add(changed);
    place.onclose = () => this.#changed.delete(changed);
    return place;
  }

  #remove(id: string): void {
    const csrc = csrcOf(id);
    const others = (this.#people.get(csrc) ?? []).filter(person => person.id !== id);
    if (others.length) this.#people.set(csrc, others);
    else this.#people.delete(csrc);
  }
}

export interface Place {
  /** What the frame becomes; null: it goes no farther. */
  work(frame: Uint8Array<ArrayBuffer>, facts: FrameFacts): Promise<Uint8Array<ArrayBuffer> | null>;
  close(): void;
}

class SealingPlace implements Place {
  readonly faults = new Map<SealFault | 'unsupported', number>();
  readonly #sealer: Sealer;
  readonly #kind: 'audio' | 'video';

  constructor(sealer: Sealer, kind: 'audio' | 'video') {
    this.#sealer = sealer;
    this.#kind = kind;
  }

  async work(
    frame: Uint8Array<ArrayBuffer>,
    { mimeType }: FrameFacts,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const framing = framingOf(mimeType, this.#kind);
    const sealed = framing === null ? 'unsupported' : await this.#sealer.seal(framing, frame);
    if (typeof sealed !== 'string') return sealed;
    this.faults.set(sealed, (this.faults.get(sealed) ?? 0) + 1);
    return null;
  }

  close(): void {
    // Nothing to give back.
  }
}

class OpeningPlace implements Place {
  onclose: () => void = () => undefined;
  readonly #desk: Desk;
  readonly #opener: Opener;
  readonly #slot: number;
  readonly #kind: 'audio' | 'video';
  readonly #tell: (news: FromWorker) => void;
  readonly #askKeyFrame: () => void;
  #said = '';
  #last: OpenFault | null = null;
  #inARow = 0;
  /** Something could not be opened since the last frame that could. */
  #missing = false;

  constructor(
    desk: Desk,
    opener: Opener,
    { slot, kind }: { slot: number; kind: SlotKind },
    tell: (news: FromWorker) => void,
    askKeyFrame: () => void,
  ) {
    this.#desk = desk;
    this.#opener = opener;
    this.#slot = slot;
    this.#kind = kind === 'audio' ? 'audio' : 'video';
    this.#tell = tell;
    this.#askKeyFrame = askKeyFrame;
  }

  async work(frame: Uint8Array<ArrayBuffer>, facts: FrameFacts): Promise<Uint8Array<ArrayBuffer> | null> {
    // Packets of silence and padding have nothing in them.
    if (frame.length === 0) return null;
    const people = this.#desk.who(facts.contributors);
    const framing = framingOf(facts.mimeType, this.#kind);
    const opened =
      framing === null ? 'plain' : await this.#opener.open(framing, frame, facts.isKeyFrame, people);
    const fault = typeof opened === 'string' ? opened : null;
    this.#inARow = fault === this.#last ? this.#inARow + 1 : 1;
    this.#last = fault;
    if (fault === null || this.#inARow >= FAULTS_BEFORE_SAID) this.#say(people[0]?.id ?? null, fault);
    if (fault === null) this.#missing = false;
    else if (fault === 'replayed' && facts.isKeyFrame) this.#askKeyFrame();
    else this.#missing = true;
    return typeof opened === 'string' ? null : opened;
  }

  /** What could not be opened may be opened now, from the next key frame on. */
  again(): void {
    if (this.#missing) this.#askKeyFrame();
    this.#missing = false;
  }

  close(): void {
    this.onclose();
  }

  #say(participant: string | null, fault: OpenFault | null): void {
    const now = `${participant} ${fault}`;
    if (now === this.#said) return;
    this.#said = now;
    this.#tell({ slot: this.#slot, participant, fault });
  }
}
