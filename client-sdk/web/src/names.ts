/** Names as they travel: rooms and tracks. */
import type { Source, TrackName } from './generated';

/** Longest name of a room, in bytes. */
export const NAME_BYTES_MAX = 64;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Whether a string can be the name of a room. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** The nearest name to what somebody typed, such as `Physics 101!` → `physics-101`; empty when nothing is left. */
export function toName(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, NAME_BYTES_MAX)
    .replace(/[-.]+$/, '');
}

/** A key for maps: a participant's id has no slash. */
export type TrackKey = `${string}/${Source}`;

/** The key of a track. */
export function trackKey(track: TrackName): TrackKey {
  return `${track.participant}/${track.source}`;
}

/** The identity in a join token (a JWT, RFC 7519 §3); empty when there is none. It is read, not verified: it is our own. */
export function identityOf(token: string): string {
  try {
    const claims = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const text = new TextDecoder().decode(Uint8Array.from(atob(claims), char => char.charCodeAt(0)));
    const { sub } = JSON.parse(text) as { sub?: unknown };
    return typeof sub === 'string' ? sub : '';
  } catch {
    return '';
  }
}

/** The CSRC by which a publisher's packets are known: FNV-1a of the participant's id, low 32 bits of the 64-bit hash. */
export function csrcOf(participant: string): number {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(participant)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return Number(hash & 0xffffffffn);
}
