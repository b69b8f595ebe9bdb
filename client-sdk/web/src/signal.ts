/**
 * One signaling session with one edge, over as many sockets as it takes.
 *
 *   opening ──welcome──▶ open ──socket gone──▶ cut ──welcome(resumed)──▶ open
 *      │                  │                     │
 *      └──────────────────┴── refused, bye ─────┴──▶ over
 *
 * Numbers, acknowledgements and repeats are settled here; what comes out is each message of the edge once, in order.
 */
import { pauseMs } from './backoff';
import { Emitter } from './emitter';
import { type Failure, LyceumError } from './errors';
import { type ToClient, type ToEdge, VERSION } from './generated';
import { type Hears, Inbox, Outbox, type Says } from './numbering';

/** A socket that says nothing for this long is taken for dead: the edge answers every ping. */
export const SILENCE_MS = 12_000;
/** How often the edge is asked for a sign of life. */
export const PING_MS = 5_000;
/** A socket has this long to open and be welcomed. */
export const OPEN_TIMEOUT_MS = 8_000;
/** An acknowledgement waits this long for more to acknowledge … */
export const ACK_DELAY_MS = 1_000;
/** … or until this many messages are due. */
export const ACK_MESSAGES = 16;

export type SignalState = 'opening' | 'open' | 'cut' | 'over';
export type Welcome = Extract<Hears, { type: 'welcome' }>;

export interface SignalEvents {
  state: SignalState;
  /** The edge took us in or back. What was not seen follows as `message`. */
  welcome: Welcome;
  /** Anything that is not settled here. */
  message: Hears;
  /** Another attempt to get the socket back failed. */
  failed: { attempts: number; cutForMs: number };
  /** The session is over. With `rejoin`, the control plane may find a new place. */
  over: { error: LyceumError; rejoin: boolean };
}

export interface SignalOptions {
  /** `ws:` or `wss:` URL of the edge's door. */
  url: string;
  token: string;
  /** For tests. */
  openSocket?: (url: string) => WebSocket;
  /** For tests: a number in [0, 1). */
  random?: () => number;
}

type Timer = ReturnType<typeof setTimeout>;

export class Signal extends Emitter<SignalEvents> {
  readonly #options: SignalOptions;
  readonly #outbox = new Outbox();
  readonly #inbox = new Inbox();
  #state: SignalState = 'opening';
  #session: string | null = null;
  #socket: WebSocket | null = null;
  #attempts = 0;
  #cutAt = 0;
  #heardAt = 0;
  #rttMs: number | null = null;
  #pongs: (() => void)[] = [];
  #retryTimer: Timer | undefined;
  #openTimer: Timer | undefined;
  #pingTimer: ReturnType<typeof setInterval> | undefined;
  #ackTimer: Timer | undefined;

  constructor(options: SignalOptions) {
    super();
    this.#options = options;
  }

  get state(): SignalState {
    return this.#state;
  }

  /** Round-trip time to the edge over the socket, once measured. */
  get rttMs(): number | null {
    return this.#rttMs;
  }

  /** Opens the first socket. */
  open(): void {
    this.#cutAt = Date.now();
    this.#connect();
  }

  /** Says something; while the socket is away it is kept and said after the resume. Returns its number. */
  say(body: Says): number {
    const message = this.#outbox.push(body);
    if (this.#state === 'open') this.#send(message);
    return message.seq;
  }

  /** Resolves when the edge has handled everything said before. Also measures the round trip. */
  flushed(): Promise<void> {
    return new Promise(resolve => {
      this.#pongs.push(resolve);
      this.#ping();
    });
  }

  /** Tries again now rather than after the pause: the browser is back online. */
  retryNow(): void {
    if (this.#state !== 'cut' && this.#state !== 'opening') return;
    if (this.#socket) return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  }

  /** Ends the session from our side. */
  leave(): void {
    if (this.#state === 'over') return;
    this.say({ type: 'leave' });
    this.#finish();
  }

  #connect(): void {
    const open = this.#options.openSocket ?? (url => new WebSocket(url));
    let socket: WebSocket;
    try {
      socket = open(this.#options.url);
    } catch (error) {
      this.#over(
        new LyceumError('edge_unreachable', 'The address of the edge is not usable.', { cause: error }),
        true,
      );
      return;
    }
    this.#socket = socket;
    this.#openTimer = setTimeout(() => this.#dropped(socket), OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      const resume = this.#session === null ? null : { session: this.#session, seen: this.#inbox.seen };
      const hello: ToEdge = { seq: 0, type: 'hello', version: VERSION, token: this.#options.token, resume };
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = event => {
      if (socket === this.#socket) this.#heard(socket, event.data);
    };
    socket.onclose = () => this.#dropped(socket);
  }

  #heard(socket: WebSocket, data: unknown): void {
    this.#heardAt = Date.now();
    let message: ToClient;
    try {
      message = JSON.parse(String(data)) as ToClient;
    } catch {
      // Not our protocol: nothing behind it can be trusted, the resume brings back what was meant.
      this.#dropped(socket);
      return;
    }
    switch (this.#inbox.arrived(message.seq)) {
      case 'repeated':
        return;
      case 'gap':
        this.#dropped(socket);
        return;
      case 'new':
        if (message.seq > 0) this.#acknowledgeSoon();
        this.#deliver(message);
    }
  }

  #deliver(message: ToClient): void {
    switch (message.type) {
      case 'welcome':
        this.#welcomed(message);
        break;
      case 'ack':
        this.#outbox.acknowledged(message.seen);
        break;
      case 'pong':
        this.#rttMs = Math.max(0, performance.now() - message.t);
        this.#pongs.splice(0).forEach(resolve => resolve());
        break;
      case 'bye':
        this.#over(new LyceumError('ended', message.message), message.rejoin);
        break;
      case 'refused':
        if (message.fatal) {
          const error = new LyceumError(message.code, message.message);
          this.#over(error, REJOINABLE.has(message.code));
        } else this.emit('message', message);
        break;
      default:
        this.emit('message', message);
    }
  }

  #welcomed(welcome: Welcome): void {
    clearTimeout(this.#openTimer);
    this.#session = welcome.session;
    this.#attempts = 0;
    this.#outbox.acknowledged(welcome.seen);
    for (const message of this.#outbox.unseen()) this.#send(message);
    clearInterval(this.#pingTimer);
    this.#pingTimer = setInterval(() => this.#alive(), PING_MS);
    this.#become('open');
    this.emit('welcome', welcome);
    if (this.#pongs.length) this.#ping();
  }

  #alive(): void {
    if (this.#socket && Date.now() - this.#heardAt > SILENCE_MS) this.#dropped(this.#socket);
    else this.#ping();
  }

  #ping(): void {
    if (this.#state === 'open') this.#send({ seq: 0, type: 'ping', t: performance.now() });
  }

  #acknowledgeSoon(): void {
    if (this.#inbox.unacknowledged >= ACK_MESSAGES) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_DELAY_MS);
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    // Cut meanwhile: `hello` will say how far we are.
    if (this.#state === 'open') this.#send({ seq: 0, type: 'ack', seen: this.#inbox.acknowledge() });
  }

  #send(message: ToEdge): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #dropped(socket: WebSocket): void {
    if (socket !== this.#socket || this.#state === 'over') return;
    this.#detach();
    if (this.#state === 'open') {
      this.#cutAt = Date.now();
      this.#become('cut');
    } else {
      this.#attempts += 1;
      this.emit('failed', { attempts: this.#attempts, cutForMs: Date.now() - this.#cutAt });
    }
    // A listener may have ended the session.
    if (this.state === 'over') return;
    const random = (this.#options.random ?? Math.random)();
    this.#retryTimer = setTimeout(() => this.#connect(), pauseMs(this.#attempts, random));
  }

  #over(error: LyceumError, rejoin: boolean): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.emit('over', { error, rejoin });
  }

  #finish(): void {
    this.#detach();
    clearTimeout(this.#retryTimer);
    this.#become('over');
  }

  #detach(): void {
    clearTimeout(this.#openTimer);
    clearInterval(this.#pingTimer);
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #become(state: SignalState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

/** Fatal refusals after which the control plane may find another place. */
const REJOINABLE: ReadonlySet<Failure> = new Set<Failure>(['session_gone', 'media_lost', 'full', 'internal']);
