/** End-to-end encryption as an application sees it (docs/e2ee.md). Give it keys, and give it to `join`. */
import { Emitter } from '../emitter';
import { LyceumError } from '../errors';
import type { ParticipantId, SlotKind, TrackName } from '../generated';
import { GENERATIONS, KEY_BYTES_MIN, keyFromPassphrase } from './keyring';
import type { OpenFault, Person } from './opener';
import type { FromWorker, ToWorker, TransformOptions } from './protocol';

/** Why a track is not shown. The others pass by themselves. */
export type Locked = Exclude<OpenFault, 'stranger' | 'replayed'>;

export interface EncryptionEvents {
  /** `locked` of a slot is not what it was. */
  changed: null;
}

export interface KeyFor {
  /** Whose it is, by the identity in their token; everybody's when absent. */
  identity?: string;
  /** 0 to 255; the next one up for every new key, so that receivers can tell which a frame is under. */
  generation?: number;
}

/** The transform of https://www.w3.org/TR/webrtc-encoded-transform/. */
type ScriptTransform = new (worker: Worker, options: TransformOptions) => RTCRtpScriptTransform;

export class Encryption extends Emitter<EncryptionEvents> {
  readonly #worker: Worker;
  readonly #news = new Map<number, FromWorker>();
  #slots = 0;

  /** Whether this browser can encrypt: encoded transforms, on a secure page. */
  static get supported(): boolean {
    return 'RTCRtpScriptTransform' in globalThis && typeof Worker === 'function' && isSecureContext;
  }

  /** Throws `encryption_unsupported` where the browser cannot. Until a key is set nothing is sent, and nothing shown. */
  constructor() {
    super();
    if (!Encryption.supported) {
      throw new LyceumError('encryption_unsupported', 'This browser cannot encrypt end to end.');
    }
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), {
      type: 'module',
      name: 'lyceum-e2ee',
    });
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) => {
      this.#news.set(event.data.slot, event.data);
      this.emit('changed', null);
    };
  }

  /** A key, at least 16 bytes that nobody can guess. What is sent is under the newest; older ones go on opening. */
  setKey(key: Uint8Array, { identity, generation = 0 }: KeyFor = {}): void {
    if (key.length < KEY_BYTES_MIN) throw new RangeError(`a key has at least ${KEY_BYTES_MIN} bytes`);
    if (!Number.isInteger(generation) || generation < 0 || generation >= GENERATIONS) {
      throw new RangeError(`a key's generation is 0 to ${GENERATIONS - 1}`);
    }
    this.#say({ do: 'key', identity: identity ?? null, key: { generation, material: Uint8Array.from(key) } });
  }

  /** Everybody's key, from words that people can say to each other. */
  async setPassphrase(passphrase: string, room: string, which: KeyFor = {}): Promise<void> {
    this.setKey(await keyFromPassphrase(passphrase, room), which);
  }

  /** No frame passes from now on. */
  close(): void {
    this.#worker.terminate();
  }

  /** For the room: everything `sender` sends is this track's. To be called before it sends. */
  seal(sender: RTCRtpSender, track: TrackName, identity: string): void {
    sender.transform = this.#transform({ side: 'seal', track, identity });
  }

  /** For the room: what comes in through a new slot. Returns the slot's number, for `locked`. */
  open(receiver: RTCRtpReceiver, kind: SlotKind): number {
    const slot = this.#slots++;
    receiver.transform = this.#transform({ side: 'open', slot, kind });
    return slot;
  }

  /** For the room: who came, or was told of again, and who left. */
  people(came: readonly Person[], left: readonly ParticipantId[]): void {
    const told = came.map(({ id, identity }) => ({ id, identity }));
    this.#say({ do: 'people', came: told, left: [...left] });
  }

  /** For the room: why what this participant sends through a slot is not shown; null when it is, or nothing came. */
  locked(slot: number, participant: ParticipantId): Locked | null {
    const news = this.#news.get(slot);
    if (news?.participant !== participant) return null;
    return news.fault === 'stranger' || news.fault === 'replayed' ? null : news.fault;
  }

  #transform(options: TransformOptions): RTCRtpScriptTransform {
    const { RTCRtpScriptTransform } = globalThis as unknown as { RTCRtpScriptTransform: ScriptTransform };
    return new RTCRtpScriptTransform(this.#worker, options);
  }

  #say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
