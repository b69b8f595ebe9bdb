import { describe, expect, it } from 'vitest';
import { csrcOf, identityOf, isName, toName, trackKey } from './names';

it('the identity is read out of a token, whatever is in it', () => {
  const token = (claims: string) => {
    const text = btoa(String.fromCharCode(...new TextEncoder().encode(claims)));
    return `h.${text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}.s`;
  };
  expect(identityOf(token('{"sub":"ána@school","name":"?~>"}'))).toBe('ána@school');
  for (const none of ['', 'a.b.c', token('{}'), token('{"sub":7}'), token('null')])
    expect(identityOf(none)).toBe('');
});

describe('names', () => {
  it.each([
    ['Physics 101!', 'physics-101'],
    ['  Año Nuevo ', 'ano-nuevo'],
    ['../../etc', 'etc'],
    ['数学', ''],
    ['a'.repeat(80), 'a'.repeat(64)],
    ['trailing-.', 'trailing'],
  ])('%j becomes %j', (typed, name) => {
    expect(toName(typed)).toBe(name);
    if (name !== '') expect(isName(name)).toBe(true);
  });

  it.each(['', 'a/b', 'ä', 'a'.repeat(65), 'a b'])('%j is none', text => expect(isName(text)).toBe(false));

  it('make keys', () =>
    expect(trackKey({ participant: 'ana', source: 'screen_audio' })).toBe('ana/screen_audio'));

  it('hash as the edges do', () => {
    // FNV-1a, 64 bits: 0xcbf29ce484222325 for nothing, 0xaf63dc4c8601ec8c for "a".
    expect(csrcOf('')).toBe(0x84222325);
    expect(csrcOf('a')).toBe(0x8601ec8c);
  });
});
