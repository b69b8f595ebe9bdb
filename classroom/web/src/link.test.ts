import { isName } from '@lyceum/client';
import { describe, expect, it } from 'vitest';
import { readInvitation, roomLink, suggestRoom } from './link';

describe('links', () => {
  it.each([
    ['http://host/', { room: '', token: null, role: 'participant' }],
    ['http://host/?room=physics-101', { room: 'physics-101', token: null, role: 'participant' }],
    ['http://host/?room=Physics%20101#token=abc', { room: 'physics-101', token: 'abc', role: 'participant' }],
    ['http://host/?room=a&as=host', { room: 'a', token: null, role: 'host' }],
    ['http://host/?room=a&as=king', { room: 'a', token: null, role: 'participant' }],
    ['http://host/#token=', { room: '', token: null, role: 'participant' }],
  ])('%s', (address, invitation) => expect(readInvitation(address)).toEqual(invitation));

  it('never carry a token on', () => {
    expect(roomLink('http://host/?relay&room=old#token=secret', 'new')).toBe('http://host/?room=new');
    expect(roomLink('http://host/?as=host', 'new'), 'nor a role').toBe('http://host/?room=new');
    expect(roomLink('http://host/', 'new', 'host')).toBe('http://host/?room=new&as=host');
  });

  it('suggest names that are names', () => {
    for (let i = 0; i < 20; i++) expect(isName(suggestRoom(() => i / 20))).toBe(true);
  });
});
