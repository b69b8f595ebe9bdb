import { describe, expect, it, vi } from 'vitest';
import { pauseMs } from './backoff';
import { failureOf, signalUrl } from './control';
import { Emitter } from './emitter';
import { encodingsOf, preferred, reduced } from './encodings';
import { splitServers } from './ice-servers';
import { StatsReader } from './stats';

describe('pauses between attempts', () => {
  it.each([
    [0, 0, 100],
    [0, 0.999, 199.9],
    [3, 0, 800],
    [20, 0, 2_500],
    [1_000, 0.999, 4_997.5],
  ])('attempt %i, chance %f: %f ms', (attempt, random, pause) =>
    expect(pauseMs(attempt, random)).toBeCloseTo(pause, 1),
  );
});

describe('answers of the control plane', () => {
  it.each([
    ['expired_token', 401, 'expired_token'],
    ['no_edge', 503, 'no_edge'],
    ['something_new', 401, 'token_needed'],
    [undefined, 502, 'control_unreachable'],
    [undefined, 429, 'too_many'],
    ['malformed', 400, 'malformed'],
    ['unauthorized', 401, 'token_needed'],
    ['closed', 403, 'token_needed'],
    ['store_away', 503, 'control_unreachable'],
    [undefined, 400, 'bad_name'],
    [undefined, 418, 'internal'],
  ])('%s with %i is %s', (code, status, failure) => expect(failureOf(code, status)).toBe(failure));

  it.each([
    ['http://127.0.0.1:8081', 'ws://127.0.0.1:8081/v1/signal'],
    ['https://eu.example/edge/', 'wss://eu.example/edge/v1/signal'],
  ])('the socket of %s is %s', (base, url) => expect(signalUrl(base)).toBe(url));
});

describe('events', () => {
  class Bell extends Emitter<{ ring: number }> {
    ring(times: number): void {
      this.emit('ring', times);
    }
  }

  it('reach their listeners until they are off, and one that throws keeps them from nobody', () => {
    const report = vi.fn();
    vi.stubGlobal('reportError', report);
    const bell = new Bell();
    const heard: number[] = [];
    bell.on('ring', () => {
      throw new Error('deaf');
    });
    const off = bell.on('ring', times => heard.push(times));
    bell.ring(1);
    off();
    bell.ring(2);
    expect(heard).toEqual([1]);
    expect(report).toHaveBeenCalledTimes(2);
    vi.unstubAllGlobals();
  });
});

describe('relays', () => {
  const all = {
    urls: ['turn:a:1?transport=udp', 'turn:a:1', 'turn:a:1?transport=tcp', 'turns:a:443'],
    username: 'u',
    credential: 'c',
  };

  it('over UDP are kept back while there may be a direct way', () => {
    expect(splitServers([all, { urls: 'stun:b' }], 'all')).toEqual({
      first: [{ ...all, urls: ['turn:a:1?transport=tcp', 'turns:a:443'] }, { urls: ['stun:b'] }],
      keptBack: [{ ...all, urls: ['turn:a:1?transport=udp', 'turn:a:1'] }],
    });
  });

  it('are all there for who wants nothing else', () => {
    expect(splitServers([all], 'relay')).toEqual({ first: [all], keptBack: [] });
  });
});

describe('encodings', () => {
  it.each([
    [undefined, ['q', 'h', 'f']],
    [1080, ['q', 'h', 'f']],
    [720, ['q', 'h', 'f']],
    [360, ['h', 'f']],
    [180, ['f']],
  ])('of a camera of %s lines: %j', (lines, rids) => {
    const encodings = encodingsOf('camera', lines);
    expect(encodings.map(each => each.rid)).toEqual(rids);
    expect(encodings.at(-1)?.scaleResolutionDownBy).toBe(1);
  });

  it('of VP9 and AV1 are one, with layers inside', () => {
    expect(encodingsOf('camera', 720, { codec: 'VP9' })).toEqual([
      { scaleResolutionDownBy: 1, maxBitrate: 1_645_000, scalabilityMode: 'L3T3_KEY' },
    ]);
    expect(encodingsOf('camera', 180, { codec: 'AV1' })[0]).toHaveProperty('scalabilityMode', 'L1T3');
    expect(encodingsOf('camera', 180, { codec: 'AV1', scalabilityMode: 'L2T2' })[0]).toHaveProperty(
      'scalabilityMode',
      'L2T2',
    );
    expect(encodingsOf('camera', 720, { codec: 'H264' }).map(each => each.rid)).toEqual(['q', 'h', 'f']);
  });

  it.each([
    ['L3T3_KEY', 2, 'L3T3_KEY', 1],
    ['L3T3_KEY', 1, 'L2T3_KEY', 2],
    ['L3T3_KEY', 0, 'L1T3', 4],
    ['L3T2h', 1, 'L2T2h', 1.5],
    ['S3T3', 1, 'S2T3', 2],
    ['L1T3', 0, 'L1T3', 1],
    ['nonsense', 0, 'nonsense', 1],
  ])('%s up to spatial layer %i is %s, smaller by %d', (mode, spatial, scalabilityMode, scaleDownBy) => {
    expect(reduced(mode, spatial)).toEqual({ scalabilityMode, scaleDownBy });
  });

  it('of all else are one', () => {
    for (const source of ['microphone', 'screen', 'screen_audio'] as const)
      expect(encodingsOf(source)).toHaveLength(1);
  });
});

describe('codecs', () => {
  it.each([
    {
      offered: ['video/rtx', 'video/H264', 'video/AV1', 'video/VP8', 'video/red'],
      kept: ['video/VP8', 'video/H264', 'video/AV1', 'video/rtx'],
    },
    {
      offered: ['audio/PCMU', 'audio/red', 'audio/opus', 'audio/telephone-event'],
      kept: ['audio/opus', 'audio/red'],
    },
    { offered: ['video/H265'], kept: [] },
  ])('of $offered: $kept', ({ offered, kept }) => {
    expect(preferred(offered.map(mimeType => ({ mimeType }))).map(codec => codec.mimeType)).toEqual(kept);
  });

  it('begin with the one that shall be sent', () => {
    const first = (offered: string[], codec: 'AV1' | 'red') =>
      preferred(
        offered.map(mimeType => ({ mimeType })),
        codec,
      )[0]?.mimeType;
    expect(first(['video/VP8', 'video/AV1'], 'AV1')).toBe('video/AV1');
    expect(first(['audio/opus', 'audio/red'], 'red')).toBe('audio/red');
  });
});

describe('statistics', () => {
  const report = (bytes: number, timestamp: number): [string, unknown][] => [
    [
      'in',
      {
        id: 'in',
        type: 'inbound-rtp',
        timestamp,
        kind: 'video',
        mid: '5',
        bytesReceived: bytes,
        frameWidth: 640,
        frameHeight: 360,
      },
    ],
    ['t', { id: 't', type: 'transport', timestamp, selectedCandidatePairId: 'p' }],
    [
      'p',
      { id: 'p', type: 'candidate-pair', timestamp, localCandidateId: 'l', currentRoundTripTime: 0.0123 },
    ],
    [
      'l',
      {
        id: 'l',
        type: 'local-candidate',
        timestamp,
        candidateType: 'relay',
        protocol: 'udp',
        relayProtocol: 'udp',
      },
    ],
  ];

  it('are differences, by slot, with the path', () => {
    const reader = new StatsReader();
    expect(reader.read(report(1_000, 1_000)).received.get('5')?.bitrate).toBe(0);
    const stats = reader.read(report(2_000, 2_000));
    expect(stats.received.get('5')).toMatchObject({ bitrate: 8_000, width: 640, height: 360 });
    expect(stats.transport).toEqual({ candidateType: 'relay', protocol: 'udp', rttMs: 12 });
  });
});
