/** The room in the address: `/?room=quiet-olive-27`; a token and the key for encryption behind `#`, where no server sees it. */
import { toName } from '@lyceum/client';

const CALM = [
  'quiet',
  'bright',
  'early',
  'gentle',
  'clear',
  'kind',
  'merry',
  'patient',
  'sunny',
  'warm',
  'wise',
  'green',
];
const THINGS = [
  'olive',
  'garden',
  'portico',
  'scroll',
  'laurel',
  'meadow',
  'harbor',
  'lantern',
  'orchard',
  'compass',
  'sparrow',
  'cypress',
];

/** A friendly name nobody else is likely to have: 12 × 12 × 9,000. */
export function suggestRoom(random: () => number = Math.random): string {
  const pick = (words: string[]) => words[Math.floor(random() * words.length)] ?? 'lyceum';
  return `${pick(CALM)}-${pick(THINGS)}-${1000 + Math.floor(random() * 9000)}`;
}

export interface Invitation {
  /** Empty when the address names no room. */
  room: string;
  token: string | null;
  /** What the person comes as, where the mesh lets anybody choose. */
  role: Role;
  /** The passphrase of a room that is encrypted end to end. */
  passphrase: string | null;
}

export type Role = 'participant' | 'host' | 'audience';

function roleOf(text: string | null): Role {
  return text === 'host' || text === 'audience' ? text : 'participant';
}

/** What an address invites to. */
export function readInvitation(address: string): Invitation {
  const url = new URL(address);
  const secret = new URLSearchParams(url.hash.slice(1));
  const said = (name: string) => (secret.get(name) === '' ? null : secret.get(name));
  return {
    room: toName(url.searchParams.get('room') ?? ''),
    token: said('token'),
    role: roleOf(url.searchParams.get('as')),
    passphrase: said('key'),
  };
}

/** The address that invites to a room. A token is personal and never part of it; nor is what one comes as. */
export function roomLink(address: string, room: string, passphrase: string | null): string {
  return ownLink(address, { room, passphrase, role: 'participant', token: null });
}

/** The address to come back to. */
export function ownLink(address: string, { room, role, passphrase, token }: Invitation): string {
  const url = new URL(address);
  url.search = '';
  url.searchParams.set('room', room);
  if (role !== 'participant') url.searchParams.set('as', role);
  const secret = new URLSearchParams();
  if (token !== null) secret.set('token', token);
  if (passphrase !== null) secret.set('key', passphrase);
  url.hash = secret.toString();
  return url.href;
}
