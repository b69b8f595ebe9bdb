/**
 * The keys that the application has given, and what follows from them.
 *
 *   passphrase ──PBKDF2──▶ key, generation g ──ratchet──▶ key, generation g+1 …
 *                            │ HKDF with the participant and the source
 *                            ▼
 *                          base key of one track ──RFC 9605 §4.4.2 with the key id──▶ AES key and salt
 *
 * A key is everybody's, or one person's. Nobody's frames can pass for another's: the track is in the derivation.
 */
import type { TrackName } from '../generated';
import { expand, joined } from './sframe';

/** A key has this many bytes, or more. */
export const KEY_BYTES_MIN = 16;
/** Bytes of a derived key: HKDF-SHA-256's own length (RFC 9605 §5.1, Nh). */
const DERIVED_BYTES = 32;
/** Generations are one byte of the key id, and go round. */
export const GENERATIONS = 256;
/** Generations kept per holder: what is under way when a key changes is one old, who was away for a while a few. */
const GENERATIONS_KEPT = 8;
/** Ratchet steps a receiver takes by itself: more than that were missed by nobody who is still in the room. */
export const RATCHET_STEPS_MAX = 8;
/** What a passphrase costs to guess: OWASP's figure for PBKDF2 with SHA-256 (2023); half a second on a phone. */
const PASSPHRASE_ITERATIONS = 600_000;

export interface Key {
  generation: number;
  material: Uint8Array<ArrayBuffer>;
}

export class Keyring {
  /** By identity; everybody's under null. The newest last. */
  readonly #keys = new Map<string | null, Key[]>();
  #version = 0;

  /** Rises with every key. */
  get version(): number {
    return this.#version;
  }

  /** This key is the newest from now on. */
  set(identity: string | null, key: Key): void {
    const others = (this.#keys.get(identity) ?? []).filter(({ generation }) => generation !== key.generation);
    this.#keys.set(identity, [...others, key].slice(-GENERATIONS_KEPT));
    this.#version += 1;
  }

  /** What somebody seals with: their own key, else everybody's. */
  newest(identity: string): Key | undefined {
    return (this.#keys.get(identity) ?? this.#keys.get(null))?.at(-1);
  }

  /** What opens a generation of somebody's, if it is known. */
  of(identity: string, generation: number): Key | undefined {
    const keys = this.#keys.get(identity) ?? this.#keys.get(null) ?? [];
    return keys.find(key => key.generation === generation);
  }

  /** What would open it, were the newest key known ratcheted that far: to be tried, and kept when it opens. */
  async ratcheted(identity: string, generation: number): Promise<Key | undefined> {
    let key = this.newest(identity);
    if (!key) return undefined;
    const steps = (generation - key.generation + GENERATIONS) % GENERATIONS;
    if (steps > RATCHET_STEPS_MAX) return undefined;
    for (let i = 0; i < steps; i++) key = await ratchet(key);
    return key;
  }

  /** Keeps a key that has proved itself, for those who had the one before. */
  learn(identity: string, key: Key): void {
    this.set(this.#keys.has(identity) ? identity : null, key);
  }
}

/** The next generation of a key (RFC 9605 §5.1): who has only this one cannot tell what was said before it. */
export async function ratchet({ generation, material }: Key): Promise<Key> {
  const next = await expand(material, new TextEncoder().encode('SFrame 1.0 Ratchet'), DERIVED_BYTES);
  return { generation: (generation + 1) % GENERATIONS, material: next };
}

/** RFC 9605's base key for one track of one participant. */
export function baseKeyOf(
  { material }: Key,
  { participant, source }: TrackName,
): Promise<Uint8Array<ArrayBuffer>> {
  const words = new TextEncoder();
  // Neither a participant's id nor a source has a zero in it.
  const parts = ['lyceum e2ee 1', participant, source].map(part =>
    joined(words.encode(part), Uint8Array.of(0)),
  );
  return expand(material, joined(...parts), DERIVED_BYTES);
}

/** A key from something people can say to each other. The room's name is the salt. */
export async function keyFromPassphrase(passphrase: string, room: string): Promise<Uint8Array<ArrayBuffer>> {
  const words = new TextEncoder();
  const secret = words.encode(passphrase.normalize('NFC'));
  const key = await crypto.subtle.importKey('raw', secret, 'PBKDF2', false, ['deriveBits']);
  const salt = words.encode(`lyceum e2ee 1 ${room}`);
  const algorithm = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: PASSPHRASE_ITERATIONS };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, DERIVED_BYTES * 8));
}

/** A passphrase nobody will guess: 128 bits, fit for a link. */
export function newPassphrase(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES_MIN));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}
