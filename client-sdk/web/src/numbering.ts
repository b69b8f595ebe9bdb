/**
 * The numbers that let a session outlive its socket (docs/protocol/signal.md).
 *
 *   client   offer 1   view 2   message 3   ✂ socket cut ✂   hello(resume, seen 7)   message 3 again
 *   edge     … 6  7                                          welcome(seen 2)         8  9 …
 *
 * Each side keeps what the other has not acknowledged and sends it again after a resume. Number 0 is outside of it all.
 */
import type { ToClient, ToEdge } from './generated';
import { LyceumError } from './errors';

/** Unacknowledged messages kept for a resume: at one message a second (a lively chat), over eight minutes of silence. */
export const OUTBOX_MESSAGES_MAX = 512;

/** Like `Omit`, but for each member of a union by itself. */
type Each<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** What a client says, before it gets its number. */
export type Says = Each<ToEdge, 'seq'>;
/** What an edge says, without its number. */
export type Hears = Each<ToClient, 'seq'>;

/** Messages on their way to the edge. */
export class Outbox {
  #next = 1;
  #kept: ToEdge[] = [];

  /** Numbers a message and keeps it until it is acknowledged. */
  push(body: Says): ToEdge {
    if (this.#kept.length >= OUTBOX_MESSAGES_MAX) {
      throw new LyceumError('too_many', 'Too much is waiting to be sent; wait until the connection is back.');
    }
    const message = { ...body, seq: this.#next++ };
    this.#kept.push(message);
    return message;
  }

  /** The edge has seen everything up to `seen`. */
  acknowledged(seen: number): void {
    this.#kept = this.#kept.filter(message => message.seq > seen);
  }

  /** What to send again after a resume, in order. */
  unseen(): readonly ToEdge[] {
    return this.#kept;
  }
}

/** What an arriving number means. */
export type Arrival = 'new' | 'repeated' | 'gap';

/** Messages from the edge. */
export class Inbox {
  #seen = 0;
  #acknowledged = 0;

  /** Highest number seen without a gap. */
  get seen(): number {
    return this.#seen;
  }

  /** How many messages the edge does not yet know to have arrived. */
  get unacknowledged(): number {
    return this.#seen - this.#acknowledged;
  }

  /** Takes in a number. A gap cannot happen on one socket; it means that the socket must be resumed. */
  arrived(seq: number): Arrival {
    if (seq === 0) return 'new';
    if (seq <= this.#seen) return 'repeated';
    if (seq > this.#seen + 1) return 'gap';
    this.#seen = seq;
    return 'new';
  }

  /** An acknowledgement goes out now: its number. */
  acknowledge(): number {
    this.#acknowledged = this.#seen;
    return this.#seen;
  }
}
