import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EdgeSays, ToClient, ToEdge } from './generated';
import { ACK_DELAY_MS, ACK_MESSAGES, OPEN_TIMEOUT_MS, PING_MS, Signal, SILENCE_MS } from './signal';

/** The edge's end of one socket. */
class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: ToEdge[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ToEdge);
  }
  close(): void {
    this.closed = true;
  }
  hear(message: ToClient): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  said(type: ToEdge['type']): ToEdge[] {
    return this.sent.filter(message => message.type === type);
  }
}

/** An edge that takes every socket in, until it is told not to. */
class FakeEdge {
  readonly sockets: FakeSocket[] = [];
  refusing = false;
  readonly signal: Signal;
  readonly heard: string[] = [];

  constructor() {
    this.signal = new Signal({
      url: 'ws://edge/v1/signal',
      token: 'token',
      random: () => 1,
      openSocket: () => {
        const socket = new FakeSocket();
        this.sockets.push(socket);
        setTimeout(() => (this.refusing ? socket.onclose?.() : socket.onopen?.()), 1);
        return socket as unknown as WebSocket;
      },
    });
    this.signal.on('message', message => this.heard.push(message.type));
    this.signal.on('state', state => this.heard.push(`state ${state}`));
    this.signal.on('failed', ({ attempts }) => this.heard.push(`failed ${attempts}`));
    this.signal.on('over', ({ error, rejoin }) =>
      this.heard.push(`over ${error.code} ${rejoin ? 'rejoin' : 'for good'}`),
    );
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error('no socket was opened');
    return socket;
  }

  welcome(seen = 0, resumed = false): void {
    this.socket.hear({
      seq: 0,
      type: 'welcome',
      session: 'secret',
      participant: 'me',
      room: 'room',
      grants: { publish: [], subscribe: true, message: true, moderate: false },
      edge: 'eu-1',
      region: 'eu',
      resumed,
      seen,
    });
  }

  open(): void {
    this.signal.open();
    vi.advanceTimersByTime(1);
    this.welcome();
  }
}

const speakers = (seq: number): ToClient => ({ seq, type: 'speakers', active: [] });

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('a session', () => {
  it('begins with hello and is open when it is welcomed', () => {
    const edge = new FakeEdge();
    edge.signal.say({ type: 'view', tiles: [], listen: [] });
    edge.open();
    expect(edge.socket.sent[0]).toEqual({ seq: 0, type: 'hello', version: 1, token: 'token', resume: null });
    expect(edge.socket.said('view').map(message => message.seq)).toEqual([1]);
    expect(edge.signal.state).toBe('open');
  });

  it('outlives its socket: what either side has not seen is said again, and heard once', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.socket.hear(speakers(1));
    edge.socket.hear(speakers(2));
    edge.signal.say({ type: 'message', id: 'a', kind: 'chat', body: 1 });
    edge.signal.say({ type: 'message', id: 'b', kind: 'chat', body: 2 });
    edge.socket.onclose?.();
    edge.signal.say({ type: 'message', id: 'c', kind: 'chat', body: 3 });
    expect(edge.signal.state).toBe('cut');

    vi.advanceTimersByTime(1_000);
    expect(edge.socket.sent).toEqual([
      { seq: 0, type: 'hello', version: 1, token: 'token', resume: { session: 'secret', seen: 2 } },
    ]);
    edge.welcome(1, true);
    expect(edge.socket.said('message').map(message => message.seq)).toEqual([2, 3]);
    edge.socket.hear(speakers(2));
    edge.socket.hear(speakers(3));
    expect(edge.heard.filter(what => what === 'speakers')).toHaveLength(3);
  });

  it('comes back with growing pauses and says how often it failed', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.refusing = true;
    edge.socket.onclose?.();
    vi.advanceTimersByTime(200 + 400 + 800 + 10);
    expect(edge.heard).toEqual(['state open', 'state cut', 'failed 1', 'failed 2', 'failed 3']);
    edge.refusing = false;
    vi.advanceTimersByTime(1_600);
    edge.welcome(0, true);
    expect(edge.signal.state).toBe('open');
  });

  it('resumes after a gap rather than going on with a hole', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.socket.hear(speakers(1));
    edge.socket.hear(speakers(3));
    expect(edge.signal.state).toBe('cut');
    vi.advanceTimersByTime(1_000);
    expect(edge.socket.sent[0]).toMatchObject({ resume: { seen: 1 } });
  });

  it('acknowledges after a while, or at once when much has come', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.socket.hear(speakers(1));
    expect(edge.socket.said('ack')).toEqual([]);
    vi.advanceTimersByTime(ACK_DELAY_MS);
    expect(edge.socket.said('ack')).toEqual([{ seq: 0, type: 'ack', seen: 1 }]);
    for (let seq = 2; seq < 2 + ACK_MESSAGES; seq++) edge.socket.hear(speakers(seq));
    expect(edge.socket.said('ack').at(-1)).toEqual({ seq: 0, type: 'ack', seen: 1 + ACK_MESSAGES });
  });

  it('takes a silent socket for dead', () => {
    const edge = new FakeEdge();
    edge.open();
    vi.advanceTimersByTime(PING_MS);
    expect(edge.socket.said('ping')).toHaveLength(1);
    vi.advanceTimersByTime(SILENCE_MS);
    expect(edge.sockets[0]?.closed).toBe(true);
    expect(edge.heard).toContain('state cut');
  });

  it('gives up a socket that nobody welcomes', () => {
    const edge = new FakeEdge();
    edge.signal.open();
    vi.advanceTimersByTime(OPEN_TIMEOUT_MS);
    expect(edge.heard).toEqual(['failed 1']);
    expect(edge.socket.closed).toBe(true);
  });

  it('knows when what it said has been handled', async () => {
    const edge = new FakeEdge();
    edge.open();
    const flushed = edge.signal.flushed();
    const [ping] = edge.socket.said('ping');
    if (ping?.type !== 'ping') throw new Error('no ping was sent');
    edge.socket.hear({ seq: 0, type: 'pong', t: ping.t });
    await flushed;
    expect(edge.signal.rttMs).toBeGreaterThanOrEqual(0);
  });

  it.each<{ case: string; says: EdgeSays; then: string }>([
    {
      case: 'a bad token ends it',
      says: { type: 'refused', code: 'bad_token', message: '', of: null, fatal: true },
      then: 'over bad_token for good',
    },
    {
      case: 'a session that is gone can be joined anew',
      says: { type: 'refused', code: 'session_gone', message: '', of: null, fatal: true },
      then: 'over session_gone rejoin',
    },
    {
      case: 'an edge that closes sends us on',
      says: { type: 'bye', message: '', rejoin: true },
      then: 'over ended rejoin',
    },
    {
      case: 'a host may close the room',
      says: { type: 'bye', message: '', rejoin: false },
      then: 'over ended for good',
    },
  ])('$case', ({ says, then }) => {
    const edge = new FakeEdge();
    edge.open();
    edge.socket.hear({ ...says, seq: 0 });
    expect(edge.heard.at(-1)).toBe(then);
    const sockets = edge.sockets.length;
    vi.advanceTimersByTime(60_000);
    expect(edge.sockets).toHaveLength(sockets);
  });

  it('goes on after a refusal that is not fatal', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.socket.hear({ seq: 1, type: 'refused', code: 'too_large', message: '', of: 4, fatal: false });
    expect(edge.heard.at(-1)).toBe('refused');
    expect(edge.signal.state).toBe('open');
  });

  it('leaves with a word', () => {
    const edge = new FakeEdge();
    edge.open();
    edge.signal.leave();
    expect(edge.socket.said('leave')).toEqual([{ seq: 1, type: 'leave' }]);
    vi.advanceTimersByTime(60_000);
    expect(edge.sockets).toHaveLength(1);
  });
});
