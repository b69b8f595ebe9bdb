/** The room's messages in their one order, and the own ones that are still on their way. */
import type { RoomMessage } from './generated';

/** Messages kept in the page: a school day's chat. */
export const MESSAGES_MAX = 2_000;

/** An own message that has not come back from the room yet. */
export interface PendingMessage {
  readonly id: string;
  readonly kind: string;
  readonly body: unknown;
  /** The refusal, once there was one. */
  readonly refused: string | null;
}

/** The log of one room. */
export class MessageLog {
  #posted: readonly RoomMessage[] = [];
  #pending: readonly PendingMessage[] = [];
  readonly #known = new Set<string>();
  readonly #mine = new Set<string>();

  /** In the room's order. Replaced, never changed. */
  get posted(): readonly RoomMessage[] {
    return this.#posted;
  }

  /** Own messages on their way, oldest first. Replaced, never changed. */
  get pending(): readonly PendingMessage[] {
    return this.#pending;
  }

  /** An own message sets out. */
  send(id: string, kind: string, body: unknown): PendingMessage {
    const message: PendingMessage = { id, kind, body, refused: null };
    this.#mine.add(id);
    this.#pending = [...this.#pending, message];
    return message;
  }

  /** Whether a message is an own one, by whichever session it went out. */
  isMine(message: RoomMessage): boolean {
    return this.#mine.has(message.id);
  }

  /** The room posted a message. False when it is known already (history is told again to a new session). */
  arrived(message: RoomMessage): boolean {
    const key = this.#keyOf(message);
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    this.#pending = this.#pending.filter(mine => mine.id !== message.id);
    const posted = [...this.#posted, message];
    for (const old of posted.slice(0, -MESSAGES_MAX)) this.#known.delete(this.#keyOf(old));
    this.#posted = posted.slice(-MESSAGES_MAX);
    return true;
  }

  /** The edge refused an own message. */
  refused(id: string, why: string): void {
    this.#pending = this.#pending.map(mine => (mine.id === id ? { ...mine, refused: why } : mine));
  }

  /** What a new session has to say again. */
  unposted(): readonly PendingMessage[] {
    return this.#pending.filter(mine => mine.refused === null);
  }

  /** An own message is known by its id in whichever session it was posted; others' by their place and sender. */
  #keyOf(message: RoomMessage): string {
    return this.isMine(message) ? message.id : `${message.number}/${message.from}/${message.id}`;
  }
}
