import { describe, expect, it } from 'vitest';
import type { TrackName } from '../generated';
import { csrcOf } from '../names';
import { Desk, FAULTS_BEFORE_SAID } from './desk';
import { type Key, keyFromPassphrase, newPassphrase, ratchet } from './keyring';
import { contentOf, framingOf, shellOf } from './payload';
import type { FromWorker } from './protocol';
import { ReplayWindow, WINDOW } from './replay';
import { generationOf, Sealer } from './sealer';
import { expand, readHeader, SframeKey, TAG_BYTES, writeHeader } from './sframe';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], byte => parseInt(byte, 16));
const hex = (all: Uint8Array | null) =>
  [...(all ?? [])].map(byte => byte.toString(16).padStart(2, '0')).join('');

describe('RFC 9605', () => {
  it.each([
    // Appendix C.1.
    [0n, 0n, '00'],
    [0n, 1n, '01'],
    [0n, 255n, '08ff'],
    [0n, 256n, '090100'],
    [1n, 0n, '10'],
    [1n, 4294967296n, '1c0100000000'],
    [255n, 0n, '80ff'],
    [255n, 65536n, '8aff010000'],
    [256n, 255n, '980100ff'],
    [65536n, 18446744073709551615n, 'af010000ffffffffffffffff'],
    [4294967296n, 1099511627776n, 'cd0100000000010000000000'],
  ])('a header of key %s and counter %s', (kid, ctr, encoded) => {
    expect(hex(writeHeader(kid, ctr))).toBe(encoded);
    const behind = bytes(`${encoded}aabb`);
    expect(readHeader(behind)).toEqual({ kid, ctr, length: encoded.length / 2 });
  });

  it('a header that ends too early is none, and a field has 64 bits', () => {
    for (const cut of ['', '80', '9001', 'af010000ffffff']) expect(readHeader(bytes(cut))).toBeNull();
    expect(() => writeHeader(1n << 64n, 0n)).toThrow(RangeError);
  });

  it('the vector of AES_128_GCM_SHA256_128 (appendix C.3)', async () => {
    const base = bytes('000102030405060708090a0b0c0d0e0f');
    const label = (words: string) => bytes(hex(new TextEncoder().encode(words)) + '00000000000001230004');
    expect(hex(await expand(base, label('SFrame 1.0 Secret key '), 16))).toBe(
      'd34f547f4ca4f9a7447006fe7fcbf768',
    );
    expect(hex(await expand(base, label('SFrame 1.0 Secret salt '), 12))).toBe('75234edefe07819026751816');
    const key = await SframeKey.derive(base, 0x123n);
    expect(hex(key.salt)).toBe('75234edefe07819026751816');
    const metadata = bytes('4945544620534672616d65205747');
    const plain = bytes('64726166742d696574662d736672616d652d656e63');
    const sealed = await key.seal(0x4567n, plain, metadata);
    expect(hex(sealed)).toBe(
      '9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb',
    );
    const header = readHeader(sealed);
    expect(header).toEqual({ kid: 0x123n, ctr: 0x4567n, length: 5 });
    expect(hex(header && (await key.open(header, sealed, metadata)))).toBe(hex(plain));
  });
});

describe('the stand-in before a VP8 frame', () => {
  const keyFrame = bytes('d0b41a9d012a8002680100112233');
  it('says key frame and size, and nothing else of the frame', () => {
    expect(hex(shellOf('vp8', keyFrame)?.head ?? null)).toBe('1000009d012a80026801');
    expect(hex(shellOf('vp8', bytes('b1aabbccddee'))?.around(bytes('77')) ?? null)).toBe('1177');
    expect(shellOf('vp8', bytes('d0b41a'))).toBeNull();
    expect(shellOf('vp8', bytes(''))).toBeNull();
  });

  it('is known again, and a frame without one is not encrypted', () => {
    expect(hex(contentOf('vp8', bytes('1000009d012a80026801ff'))?.sealed ?? null)).toBe('ff');
    expect(hex(contentOf('vp8', bytes('11ff'))?.sealed ?? null)).toBe('ff');
    for (const plain of [keyFrame, bytes('b1aabb'), bytes('10000000')])
      expect(contentOf('vp8', plain)).toBeNull();
  });

  it('is for VP8; others have shells of their own, and what nobody knows is refused', () => {
    expect(framingOf('video/VP8', 'video')).toBe('vp8');
    expect(framingOf(undefined, 'video')).toBe('vp8');
    expect(framingOf(undefined, 'audio')).toBe('whole');
    expect(framingOf('video/VP9', 'video')).toBe('whole');
    expect(framingOf('video/AV1', 'video')).toBe('av1');
    expect(framingOf('video/H264', 'video')).toBe('h264');
    expect(framingOf('audio/opus', 'audio')).toBe('whole');
    for (const none of ['video/H265', 'video/raw']) expect(framingOf(none, 'video')).toBeNull();
  });
});

describe('the OBU around an AV1 frame', () => {
  it('is one, whose size packetizers take away and depacketizers give back', () => {
    const sealed = bytes('99'.repeat(300));
    const shell = shellOf('av1', bytes('120032aabbcc'));
    expect(hex(shell?.head ?? null)).toBe('30');
    expect(hex(shell?.around(sealed) ?? null)).toBe(`30${hex(sealed)}`);
    for (const came of [`30${hex(sealed)}`, `32ac02${hex(sealed)}`]) {
      const content = contentOf('av1', bytes(came));
      expect([hex(content?.head ?? null), hex(content?.sealed ?? null)]).toEqual(['30', hex(sealed)]);
    }
  });

  it('is known from what is not encrypted: another size, more behind it, another kind', () => {
    for (const plain of ['', '32', '32ff', '3203aabb', '3201aabb', '12000a0b', '32ffffffffffffffffffff'])
      expect(contentOf('av1', bytes(plain)), plain).toBeNull();
    expect(shellOf('av1', bytes(''))).toBeNull();
  });
});

describe('the NAL units around an H264 frame', () => {
  const start = '00000001';
  const keyFrame = `${start}6742c01fda${start}68ce3c80${start}0605ffff${start}65b80004aabbcc${start}6538112233`;

  it('are parameter sets and one slice, whose beginning is the first one’s', () => {
    const shell = shellOf('h264', bytes(keyFrame));
    expect(hex(shell?.head ?? null)).toBe('65b80004');
    expect(hex(shell?.around(bytes('aa')) ?? null)).toBe(
      `${start}6742c01fda${start}68ce3c80${start}65b80004aa80`,
    );
    const delta = shellOf('h264', bytes('000001419a0011223344'));
    expect(hex(delta?.around(bytes('aa')) ?? null)).toBe(`${start}419a0011aa80`);
    for (const none of ['', start, `${start}65`, `${start}6742c01f`, 'aabbccdd'])
      expect(shellOf('h264', bytes(none)), none).toBeNull();
  });

  it('hide no start code in what is encrypted, wherever zeros stand', () => {
    const hidden = ['', '00', '000000', '0000000000000001', '000001', '00000300', '0102', 'ff0000', '000003'];
    for (const head of ['419a0011', '419a1100', '419a0000'])
      for (const sealed of hidden) {
        const travels = shellOf('h264', bytes(`${start}${head}77`))?.around(bytes(sealed)) ?? bytes('');
        expect([...travels.subarray(4)].join(), `${head} ${sealed}`).not.toMatch(/\b0,0,[0-2]\b/);
        const content = contentOf('h264', travels);
        expect([hex(content?.head ?? null), hex(content?.sealed ?? null)]).toEqual([head, sealed]);
      }
  });

  it('are known from what is not encrypted', () => {
    for (const plain of ['', keyFrame, `${start}419a0011`, `${start}419a001180${start}0911`])
      expect(contentOf('h264', bytes(plain)), plain).toBeNull();
  });

  it('may be written anew on the way: another SPS opens as well', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    const facts = { mimeType: 'video/H264', isKeyFrame: true, contributors: [csrcOf(ANA.id)] };
    const sealed = hex(await ana.camera.work(bytes(keyFrame), facts));
    const anew = bytes(sealed.replace('6742c01fda', '6742c01fda0123'));
    expect(hex(await ben.slot.work(anew, facts))).toBe(keyFrame);
  });
});

describe('counters that were seen', () => {
  it('are not taken again, in whichever order they come', () => {
    const window = new ReplayWindow();
    for (const ctr of [0n, 1n, 5n, 3n, 2n, 4n]) expect(window.accept(ctr, false)).toBe(true);
    for (const ctr of [0n, 1n, 2n, 3n, 4n, 5n]) expect(window.accept(ctr, false)).toBe(false);
  });

  it('are forgotten when they are too old to be told, and then nothing that old is taken', () => {
    const window = new ReplayWindow();
    expect(window.accept(0n, false)).toBe(true);
    expect(window.accept(3n * WINDOW, false)).toBe(true);
    expect(window.accept(2n * WINDOW, false)).toBe(false);
    expect(window.accept(2n * WINDOW, true)).toBe(false);
    expect(window.accept(2n * WINDOW + 1n, false)).toBe(true);
    expect(window.accept(2n * WINDOW + 1n, false)).toBe(false);
    // The same place in the ring, one round later.
    expect(window.accept(3n * WINDOW + 1n, false)).toBe(true);
    expect(window.accept(4n * WINDOW, false)).toBe(true);
  });

  it('begin afresh at a key frame: an edge shows its newest one to whoever comes back', () => {
    const window = new ReplayWindow();
    window.accept(10n, true);
    window.accept(11n, false);
    expect(window.accept(11n, false)).toBe(false);
    expect(window.accept(10n, true)).toBe(true);
    expect(window.accept(11n, false)).toBe(true);
    expect(window.accept(11n, false)).toBe(false);
  });
});

const ANA = { id: 'p-ana', identity: 'ana@school' };
const BEN = { id: 'p-ben', identity: 'ben@school' };
const KEY: Key = { generation: 0, material: bytes('00112233445566778899aabbccddeeff') };
const OTHER: Key = { generation: 0, material: bytes('ffeeddccbbaa99887766554433221100') };
const KEY_FRAME = bytes('d0b41a9d012a8002680100112233445566');
const DELTA = bytes('b1aabbccddeeff00112233');

/** Somebody in the room: a desk with a place for the own camera, and one for a slot. */
class Somebody {
  readonly news: FromWorker[] = [];
  readonly desk = new Desk(news => this.news.push(news));
  keyFramesAsked = 0;
  readonly camera;
  readonly slot;

  constructor(
    readonly person: typeof ANA,
    key: Key | null,
  ) {
    this.desk.hear({ do: 'people', came: [ANA, BEN], left: [] });
    if (key) this.desk.hear({ do: 'key', identity: null, key });
    this.camera = this.desk.place(
      { side: 'seal', track: this.track('camera'), identity: person.identity },
      () => 0,
    );
    this.slot = this.desk.place({ side: 'open', slot: 7, kind: 'video' }, () => this.keyFramesAsked++);
  }

  track(source: TrackName['source']): TrackName {
    return { participant: this.person.id, source };
  }

  send(frame: Uint8Array<ArrayBuffer>) {
    return this.camera.work(frame, { mimeType: 'video/VP8', isKeyFrame: false, contributors: [] });
  }

  see(frame: Uint8Array<ArrayBuffer> | null, from = ANA) {
    if (!frame) throw new Error('nothing was sent');
    const isKeyFrame = ((frame[0] ?? 1) & 1) === 0;
    return this.slot.work(frame.slice(), {
      mimeType: 'video/VP8',
      isKeyFrame,
      contributors: [csrcOf(from.id)],
    });
  }

  key(key: Key, identity: string | null = null) {
    this.desk.hear({ do: 'key', identity, key });
  }
}

describe('two in a room', () => {
  it('with the same key see each other; what is between them is not what was sent', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    for (const frame of [KEY_FRAME, DELTA, DELTA]) {
      const sealed = await ana.send(frame);
      expect(hex(sealed)).not.toContain(hex(frame.slice(-5)));
      expect(hex(await ben.see(sealed))).toBe(hex(frame));
    }
    expect(ben.news).toEqual([{ slot: 7, participant: 'p-ana', fault: null }]);
  });

  it('with different keys see nothing, and are told which it is', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, OTHER)];
    for (let i = 0; i < FAULTS_BEFORE_SAID; i++) {
      expect(ben.news).toEqual([]);
      expect(await ben.see(await ana.send(KEY_FRAME))).toBeNull();
    }
    expect(ben.news).toEqual([{ slot: 7, participant: 'p-ana', fault: 'wrong_key' }]);
    expect(ben.keyFramesAsked).toBe(0);
    // The right one is told: a key frame is asked for, and the picture comes.
    ben.key(KEY);
    expect(ben.keyFramesAsked).toBe(1);
    expect(hex(await ben.see(await ana.send(KEY_FRAME)))).toBe(hex(KEY_FRAME));
    expect(ben.news.at(-1)).toEqual({ slot: 7, participant: 'p-ana', fault: null });
  });

  it('without a key nothing leaves, and nothing that comes is shown', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, null)];
    expect(await ben.send(KEY_FRAME)).toBeNull();
    for (let i = 0; i < FAULTS_BEFORE_SAID; i++) expect(await ben.see(await ana.send(DELTA))).toBeNull();
    expect(ben.news).toEqual([{ slot: 7, participant: 'p-ana', fault: 'no_key' }]);
  });

  it('what is not encrypted is not shown either', async () => {
    const ben = new Somebody(BEN, KEY);
    for (let i = 0; i < FAULTS_BEFORE_SAID; i++) expect(await ben.see(KEY_FRAME)).toBeNull();
    expect(ben.news).toEqual([{ slot: 7, participant: 'p-ana', fault: 'plain' }]);
  });

  it('any bit that is touched on the way spoils the frame', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    const sealed = await ana.send(KEY_FRAME);
    for (let at = 0; at < (sealed?.length ?? 0); at++) {
      const touched = sealed?.slice() ?? new Uint8Array();
      touched[at] = (touched[at] ?? 0) ^ 0x40;
      expect(await ben.see(touched), `byte ${at}`).toBeNull();
    }
    expect(hex(await ben.see(sealed))).toBe(hex(KEY_FRAME));
    expect(await ben.see(sealed?.subarray(0, -1) ?? null)).toBeNull();
  });

  it('a frame cannot pass for another person’s, nor a delta frame be shown twice', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    const sealed = await ana.send(DELTA);
    expect(await ben.see(sealed, BEN)).toBeNull();
    expect(hex(await ben.see(sealed))).toBe(hex(DELTA));
    expect(await ben.see(sealed, BEN)).toBeNull();
    expect(await ben.see(sealed)).toBeNull();
  });

  it('who is nobody here is not shown, until they are', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    ben.desk.hear({ do: 'people', came: [], left: [ANA.id] });
    expect(await ben.see(await ana.send(KEY_FRAME))).toBeNull();
    ben.desk.hear({ do: 'people', came: [ANA], left: [] });
    expect(ben.keyFramesAsked).toBe(1);
    expect(hex(await ben.see(await ana.send(KEY_FRAME)))).toBe(hex(KEY_FRAME));
  });
});

describe('keys that change', () => {
  const NEXT: Key = { generation: 1, material: OTHER.material };

  it('the sender goes on under the newest; receivers open both, whoever gets it first', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    const old = await ana.send(KEY_FRAME);
    ben.key(NEXT);
    expect(hex(await ben.see(old))).toBe(hex(KEY_FRAME));
    ana.key(NEXT);
    const fresh = await ana.send(DELTA);
    expect(hex(await ben.see(fresh))).toBe(hex(DELTA));
    // Who was put out has only the old one.
    const eve = new Somebody(BEN, KEY);
    expect(await eve.see(fresh)).toBeNull();
    expect(hex(await eve.see(old))).toBe(hex(KEY_FRAME));
  });

  it('a ratchet needs no word between them, and keeps from newcomers what was said before', async () => {
    const [ana, ben] = [new Somebody(ANA, KEY), new Somebody(BEN, KEY)];
    const before = await ana.send(KEY_FRAME);
    const next = await ratchet(await ratchet(KEY));
    expect(next.generation).toBe(2);
    ana.key(next);
    const after = await ana.send(KEY_FRAME);
    expect(hex(await ben.see(after))).toBe(hex(KEY_FRAME));
    const late = new Somebody(BEN, next);
    expect(hex(await late.see(after))).toBe(hex(KEY_FRAME));
    expect(await late.see(before)).toBeNull();
  });

  it('a guess at a ratchet that does not open is not kept', async () => {
    const [ana, ben] = [new Somebody(ANA, NEXT), new Somebody(BEN, KEY)];
    expect(await ben.see(await ana.send(KEY_FRAME))).toBeNull();
    ben.key(NEXT);
    expect(hex(await ben.see(await ana.send(KEY_FRAME)))).toBe(hex(KEY_FRAME));
  });

  it('everybody may have a key of their own', async () => {
    const [ana, ben] = [new Somebody(ANA, null), new Somebody(BEN, null)];
    ana.key(KEY, ANA.identity);
    ben.key(OTHER, BEN.identity);
    expect(await ben.see(await ana.send(KEY_FRAME))).toBeNull();
    ben.key(KEY, ANA.identity);
    expect(hex(await ben.see(await ana.send(KEY_FRAME)))).toBe(hex(KEY_FRAME));
    // And it is not everybody's.
    expect(hex(await ana.see(await ben.send(KEY_FRAME), BEN))).toBe('');
  });

  it('the same key and person again, after a reload, are another key id: counters begin at 0', async () => {
    const track: TrackName = { participant: ANA.id, source: 'camera' };
    const { keyring } = new Somebody(ANA, { ...KEY, generation: 200 }).desk;
    const ids = new Set<bigint>();
    for (let i = 0; i < 50; i++) {
      const sealed = await new Sealer(keyring, track, ANA.identity).seal('whole', DELTA);
      const header = typeof sealed === 'string' ? null : readHeader(sealed);
      expect(header?.ctr).toBe(0n);
      expect(generationOf(header?.kid ?? 0n)).toBe(200);
      ids.add(header?.kid ?? 0n);
    }
    expect(ids.size).toBe(50);
  });

  it('a counter at its limit is not used again: another key id takes over, and receivers follow', async () => {
    const ben = new Somebody(BEN, KEY);
    const track: TrackName = { participant: ANA.id, source: 'camera' };
    const sealer = new Sealer(ben.desk.keyring, track, ANA.identity, 2n);
    const used = new Set<string>();
    const ids = new Set<bigint>();
    for (let i = 0; i < 9; i++) {
      const sealed = await sealer.seal('vp8', KEY_FRAME);
      if (typeof sealed === 'string') throw new Error(sealed);
      const header = readHeader(sealed.subarray(10));
      ids.add(header?.kid ?? 0n);
      used.add(`${header?.kid} ${header?.ctr}`);
      expect(hex(await ben.see(sealed))).toBe(hex(KEY_FRAME));
    }
    expect([ids.size, used.size]).toEqual([3, 9]);
  });
});

describe('a passphrase', () => {
  it('makes the same key in the same room, and another one elsewhere', async () => {
    const [a, b, c] = await Promise.all([
      keyFromPassphrase('sesame', 'physics'),
      keyFromPassphrase('sesame', 'physics'),
      keyFromPassphrase('sesame', 'chemistry'),
    ]);
    expect(hex(a)).toBe(hex(b));
    expect(hex(a)).not.toBe(hex(c));
    expect(a.length).toBe(32);
  });

  it('that is made here has 128 bits and fits into a link', () => {
    const some = new Set(Array.from({ length: 100 }, newPassphrase));
    expect(some.size).toBe(100);
    for (const each of some) expect(each).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });
});

it('sealing costs a header of at most 12 bytes, a tag, and one byte of a delta frame', async () => {
  const ana = new Somebody(ANA, { ...KEY, generation: 9 });
  const sealed = await ana.send(DELTA);
  expect((sealed?.length ?? 0) - DELTA.length).toBeLessThanOrEqual(1 + 12 + TAG_BYTES);
});
