/** Encrypts the frames of one own track. */
import type { TrackName } from '../generated';
import { baseKeyOf, type Keyring } from './keyring';
import { type Framing, shellOf } from './payload';
import { SframeKey } from './sframe';

/** Frames under one key id. At 300 a second it lasts for five months; then another id, and with it another key, takes over. */
export const COUNTER_MAX = 0xffff_ffffn;
/** Bytes of chance in a key id, beside the generation. */
const CHANCE_BYTES = 5;

/** Why a frame is not sent. */
export type SealFault =
  /** The application has given no key: nothing leaves unencrypted. */
  | 'no_key'
  /** Not a frame of the codec it is said to be. */
  | 'malformed';

interface Under {
  key: SframeKey;
  next: bigint;
  version: number;
}

export class Sealer {
  readonly #keyring: Keyring;
  readonly #track: TrackName;
  readonly #identity: string;
  readonly #counterMax: bigint;
  #under: Under | null = null;

  constructor(keyring: Keyring, track: TrackName, identity: string, counterMax = COUNTER_MAX) {
    this.#keyring = keyring;
    this.#track = track;
    this.#identity = identity;
    this.#counterMax = counterMax;
  }

  /** One call at a time. */
  async seal(framing: Framing, frame: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | SealFault> {
    const shell = shellOf(framing, frame);
    if (!shell) return 'malformed';
    let under = this.#under;
    if (under?.version !== this.#keyring.version || under.next > this.#counterMax) {
      under = this.#under = await this.#begin();
      if (!under) return 'no_key';
    }
    return shell.around(await under.key.seal(under.next++, frame, shell.head));
  }

  /**
   * A key id of one's own: the generation, and chance. Two sealers never share one, not even those of one person before and
   * after a reload, so that counters may begin at 0 and no server can bring about that a nonce is used twice.
   */
  async #begin(): Promise<Under | null> {
    const { version } = this.#keyring;
    const key = this.#keyring.newest(this.#identity);
    if (!key) return null;
    const kid = crypto
      .getRandomValues(new Uint8Array(CHANCE_BYTES))
      .reduce((id, byte) => (id << 8n) | BigInt(byte), BigInt(key.generation));
    return { key: await SframeKey.derive(await baseKeyOf(key, this.#track), kid), next: 0n, version };
  }
}

/** The generation in a key id. */
export function generationOf(kid: bigint): number {
  return Number((kid >> BigInt(8 * CHANCE_BYTES)) & 0xffn);
}
