import { isName } from '@lyceum/client';
import { describe, expect, it } from 'vitest';
import { type Invitation, ownLink, readInvitation, roomLink, suggestRoom } from './link';

const NOTHING = { token: null, role: 'participant', passphrase: null } as const;

describe('links', () => {
  it.each([
    ['http://host/', { room: '', ...NOTHING }],
    ['http://host/?room=physics-101', { room: 'physics-101', ...NOTHING }],
    ['http://host/?room=Physics%20101#token=abc', { room: 'physics-101', ...NOTHING, token: 'abc' }],
    ['http://host/?room=a&as=host', { room: 'a', ...NOTHING, role: 'host' }],
    ['http://host/?room=a&as=king', { room: 'a', ...NOTHING }],
    [
      'http://host/?room=a#key=open%20sesame&token=abc',
      { room: 'a', ...NOTHING, token: 'abc', passphrase: 'open sesame' },
    ],
    ['http://host/#token=&key=', { room: '', ...NOTHING }],
  ])('%s', (address, invitation) => expect(readInvitation(address)).toEqual(invitation));

  it('never carry a token on', () => {
    expect(roomLink('http://host/?relay&room=old#token=secret', 'new', null)).toBe('http://host/?room=new');
    expect(roomLink('http://host/?as=host', 'new', null), 'nor a role').toBe('http://host/?room=new');
  });

  it('carry the key where no server sees it, and lead back', () => {
    const link = roomLink('http://host/?room=old#token=secret&key=older', 'new', 'päss & wörd');
    expect(new URL(link).search).toBe('?room=new');
    expect(readInvitation(link)).toEqual({ room: 'new', ...NOTHING, passphrase: 'päss & wörd' });
    const own: Invitation = { room: 'new', role: 'host', token: 'a.b.c', passphrase: 'x' };
    expect(new URL(ownLink('http://host/', own)).search).toBe('?room=new&as=host');
    expect(readInvitation(ownLink('http://host/', own))).toEqual(own);
  });

  it('suggest names that are names', () => {
    for (let i = 0; i < 20; i++) expect(isName(suggestRoom(() => i / 20))).toBe(true);
  });
});
