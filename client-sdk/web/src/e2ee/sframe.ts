/**
 * SFrame (RFC 9605): one encrypted frame, with AES_128_GCM_SHA256_128 (0x0004, §4.5).
 *
 *    0 1 2 3 4 5 6 7
 *   |X|  K  |Y|  C  |  X: K+1 bytes of key id follow, else K is it.  Y: C+1 bytes of counter follow, else C is it
 *   | key id 0–8    |
 *   | counter 0–8   |
 *   | ciphertext    |  as long as the plaintext
 *   | tag 16        |
 */

/** What is known of every key: bytes of HKDF output (§4.5, table 1). */
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** AES_128_GCM_SHA256_128 in labels. */
const CIPHER_SUITE = 0x0004;
/** The largest field of a header. */
const FIELD_MAX = 0xffff_ffff_ffff_ffffn;

export interface Header {
  kid: bigint;
  ctr: bigint;
  /** Bytes of the header itself. */
  length: number;
}

/** §4.3. */
export function writeHeader(kid: bigint, ctr: bigint): Uint8Array<ArrayBuffer> {
  const [key, counter] = [fieldOf(kid), fieldOf(ctr)];
  const config = (key.config << 4) | counter.config;
  return Uint8Array.of(config, ...key.bytes, ...counter.bytes);
}

/** Null when the bytes end inside of it. */
export function readHeader(bytes: Uint8Array): Header | null {
  const config = bytes[0];
  if (config === undefined) return null;
  let at = 1;
  const read = (nibble: number): bigint | null => {
    if ((nibble & 8) === 0) return BigInt(nibble & 7);
    const end = at + (nibble & 7) + 1;
    if (end > bytes.length) return null;
    let value = 0n;
    for (; at < end; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0);
    return value;
  };
  const kid = read(config >> 4);
  const ctr = kid === null ? null : read(config & 15);
  return kid === null || ctr === null ? null : { kid, ctr, length: at };
}

/** What one sender's frames are sealed with, and opened by whoever has the same base key. */
export class SframeKey {
  private constructor(
    readonly kid: bigint,
    readonly key: CryptoKey,
    readonly salt: Uint8Array,
  ) {}

  /** §4.4.2. */
  static async derive(baseKey: Uint8Array<ArrayBuffer>, kid: bigint): Promise<SframeKey> {
    const [key, salt] = await Promise.all([
      expand(baseKey, label('SFrame 1.0 Secret key ', kid), KEY_BYTES),
      expand(baseKey, label('SFrame 1.0 Secret salt ', kid), NONCE_BYTES),
    ]);
    const usable = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']);
    return new SframeKey(kid, usable, salt);
  }

  /** §4.4.3: header and ciphertext. A counter must never be used twice; `metadata` is authenticated and not sent. */
  async seal(
    ctr: bigint,
    plaintext: Uint8Array<ArrayBuffer>,
    metadata = new Uint8Array(),
  ): Promise<Uint8Array<ArrayBuffer>> {
    const header = writeHeader(this.kid, ctr);
    const sealed = await crypto.subtle.encrypt(this.#algorithm(ctr, header, metadata), this.key, plaintext);
    return joined(header, new Uint8Array(sealed));
  }

  /** §4.4.4: the plaintext, or null when key, counter, header, metadata or ciphertext are not what was sealed. */
  async open(
    header: Header,
    frame: Uint8Array<ArrayBuffer>,
    metadata = new Uint8Array(),
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    if (frame.length < header.length + TAG_BYTES) return null;
    const algorithm = this.#algorithm(header.ctr, frame.subarray(0, header.length), metadata);
    try {
      const opened = await crypto.subtle.decrypt(algorithm, this.key, frame.subarray(header.length));
      return new Uint8Array(opened);
    } catch {
      return null;
    }
  }

  #algorithm(ctr: bigint, header: Uint8Array, metadata: Uint8Array): AesGcmParams {
    const iv = Uint8Array.from(this.salt);
    for (let i = NONCE_BYTES - 1, rest = ctr; rest > 0n; i--, rest >>= 8n) {
      iv[i] = (iv[i] ?? 0) ^ Number(rest & 0xffn);
    }
    return { name: 'AES-GCM', iv, additionalData: joined(header, metadata), tagLength: TAG_BYTES * 8 };
  }
}

/** HKDF-SHA-256 with an empty salt (RFC 5869): Extract, then Expand. */
export async function expand(
  secret: Uint8Array<ArrayBuffer>,
  info: Uint8Array<ArrayBuffer>,
  bytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
  const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, bytes * 8));
}

export function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function label(text: string, kid: bigint): Uint8Array<ArrayBuffer> {
  const words = new TextEncoder().encode(text);
  const all = joined(words, new Uint8Array(10));
  const view = new DataView(all.buffer, words.length);
  view.setBigUint64(0, kid);
  view.setUint16(8, CIPHER_SUITE);
  return all;
}

function fieldOf(value: bigint): { config: number; bytes: number[] } {
  if (value < 0n || value > FIELD_MAX) throw new RangeError('a field of an SFrame header has 64 bits');
  if (value < 8n) return { config: Number(value), bytes: [] };
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn));
  return { config: 8 | (bytes.length - 1), bytes };
}
