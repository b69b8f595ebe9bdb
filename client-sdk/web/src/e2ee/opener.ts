/** Decrypts what comes in through one slot, whoever is in it. */
import type { ParticipantId, Source } from '../generated';
import { baseKeyOf, type Keyring } from './keyring';
import { contentOf, type Framing } from './payload';
import { ReplayWindow } from './replay';
import { generationOf } from './sealer';
import { type Header, readHeader, SframeKey, TAG_BYTES } from './sframe';

/** Key ids remembered per slot: the tracks of a lesson's loudest voices, each with a few keys. The oldest go first. */
const KNOWN_MAX = 256;

/** Why a frame is not shown. */
export type OpenFault =
  /** It is not encrypted. */
  | 'plain'
  /** Nobody in the room is who it says it is from. */
  | 'stranger'
  /** No key of its generation is known. */
  | 'no_key'
  /** The key of that name does not open it: another passphrase, or somebody touched it. */
  | 'wrong_key'
  /** It has been shown before. */
  | 'replayed';

export interface Person {
  id: ParticipantId;
  identity: string;
}

/** A key id that has opened something. */
interface Known {
  key: SframeKey;
  person: ParticipantId;
  window: ReplayWindow;
}

export class Opener {
  readonly #keyring: Keyring;
  readonly #sources: readonly Source[];
  readonly #known = new Map<bigint, Known>();

  /** `sources`: what may be in this slot. */
  constructor(keyring: Keyring, sources: readonly Source[]) {
    this.#keyring = keyring;
    this.#sources = sources;
  }

  /** `people`: who the frame may be from, by the contributing source of its packets. */
  async open(
    framing: Framing,
    frame: Uint8Array<ArrayBuffer>,
    isKeyFrame: boolean,
    people: readonly Person[],
  ): Promise<Uint8Array<ArrayBuffer> | OpenFault> {
    const content = contentOf(framing, frame);
    if (!content) return 'plain';
    const { head, sealed } = content;
    const header = readHeader(sealed);
    if (!header || sealed.length < header.length + TAG_BYTES) return 'plain';
    if (people.length === 0) return 'stranger';

    let known = this.#known.get(header.kid);
    let opened: Uint8Array<ArrayBuffer> | null;
    if (known && people.some(({ id }) => id === known?.person)) {
      opened = await known.key.open(header, sealed, head);
    } else {
      const met = await this.#meet(header, sealed, head, people);
      if (typeof met === 'string') return met;
      ({ known, opened } = met);
    }
    if (!opened) return 'wrong_key';
    return known.window.accept(header.ctr, isKeyFrame) ? opened : 'replayed';
  }

  /** A key id not seen before: whose may it be? */
  async #meet(
    header: Header,
    sealed: Uint8Array<ArrayBuffer>,
    head: Uint8Array<ArrayBuffer>,
    people: readonly Person[],
  ): Promise<{ known: Known; opened: Uint8Array<ArrayBuffer> } | 'no_key' | 'wrong_key'> {
    const generation = generationOf(header.kid);
    let fault: 'no_key' | 'wrong_key' = 'no_key';
    for (const { id: person, identity } of people) {
      const given = this.#keyring.of(identity, generation);
      const material = given ?? (await this.#keyring.ratcheted(identity, generation));
      if (!material) continue;
      fault = 'wrong_key';
      for (const source of this.#sources) {
        const key = await SframeKey.derive(
          await baseKeyOf(material, { participant: person, source }),
          header.kid,
        );
        const opened = await key.open(header, sealed, head);
        if (!opened) continue;
        if (!given) this.#keyring.learn(identity, material);
        const known = { key, person, window: new ReplayWindow() };
        this.#remember(header.kid, known);
        return { known, opened };
      }
    }
    return fault;
  }

  #remember(kid: bigint, known: Known): void {
    this.#known.set(kid, known);
    if (this.#known.size <= KNOWN_MAX) return;
    const oldest = this.#known.keys().next();
    if (!oldest.done) this.#known.delete(oldest.value);
  }
}
