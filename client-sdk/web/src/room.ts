/** A room as a page sees it. It outlives sockets, networks and edges; only `lost` and `left` are its end. */
import { pauseMs } from './backoff';
import { Connection, type ConnectionEvents, type View } from './connection';
import { ControlPlane } from './control';
import type { Encryption, Locked } from './e2ee/encryption';
import { Emitter } from './emitter';
import { canDecode, kindOf, type VideoOptions } from './encodings';
import { asLyceumError, LyceumError } from './errors';
import {
  BODY_BYTES_MAX,
  type GrantChange,
  type Grants,
  LISTEN_MAX,
  type Participant,
  type ParticipantId,
  type Path,
  type Region,
  RESUME_MS,
  type RoomMessage,
  type Source,
  type Tile,
  type TrackName,
} from './generated';
import type { Sealing } from './media';
import { MessageLog } from './messages';
import { identityOf, type TrackKey, trackKey } from './names';
import { Roster, type RosterChange } from './roster';
import { Loudspeaker } from './speakers';
import { type ReceivedStats, type SentStats, StatsReader, type TransportStats } from './stats';
import { ViewTracker } from './view-tracker';

/** A new place is looked for this long before the room is given up. */
export const REJOIN_GIVE_UP_MS = 60_000;
/** With no media either, a socket that fails to come back this often means that the edge is gone. */
export const SOCKET_ATTEMPTS_WITHOUT_MEDIA = 3;
/** New sessions that never get media through, before the network is to blame. */
export const SESSIONS_WITHOUT_MEDIA_MAX = 2;
/** A change of somebody's grants is answered within this time: the edges between take at most five seconds. */
export const GRANT_TIMEOUT_MS = 8_000;
/** Tokens are renewed when they have less than this to live. */
const TOKEN_SPARE_S = 30;

/** What is away while reconnecting: `signal` (media goes on), `media` (chat goes on), `edge` (all of it). */
export type Away = 'signal' | 'media' | 'edge';

export type RoomState =
  | { phase: 'connecting' }
  | { phase: 'connected' }
  | { phase: 'reconnecting'; away: Away }
  | { phase: 'lost'; error: LyceumError }
  | { phase: 'left' };

/** Who we are here, and where. */
export interface Me {
  id: ParticipantId;
  grants: Grants;
  edge: string;
  region: Region;
  /** Why the control plane chose this edge. */
  reason: string;
}

export interface RoomEvents {
  state: RoomState;
  me: Me;
  /** What we may do changed while we are here; `by` is who changed it. */
  grants: { before: Grants; now: Grants; by: ParticipantId | null };
  /** Whose voices we always hear changed. */
  listen: readonly ParticipantId[];
  roster: RosterChange;
  /** These received tracks came, went, moved to another slot, were paused or are no longer. */
  tracks: ReadonlySet<TrackKey>;
  speakers: readonly ParticipantId[];
  /** A message was posted, by anybody. */
  message: RoomMessage;
  /** The log or the own pending messages changed. */
  messages: null;
  paths: ReadonlyMap<ParticipantId, Path>;
  /** What we publish changed. */
  published: ReadonlyMap<Source, Published>;
  /** The browser holds sound back until `startAudio` is called in a click, or no longer does. */
  audioBlocked: boolean;
  /** `locked` of a track is not what it was. */
  locked: null;
  /** Something of ours was refused; the session goes on. */
  refused: LyceumError;
}

/** An own track. */
export interface Published {
  readonly track: MediaStreamTrack | null;
  readonly muted: boolean;
}

export interface RoomStats {
  received: Map<TrackKey, ReceivedStats>;
  sent: SentStats[];
  transport: TransportStats | null;
  /** Round trip of the signaling socket. */
  signalRttMs: number | null;
}

export interface RoomOptions {
  /** Base URL of the control plane. */
  url: string;
  room: string;
  name: string;
  /** The application's id of the person. */
  identity?: string;
  /** The region wished for; the nearest when absent. */
  region?: Region;
  /** A join token. When absent one is asked for, which an open mesh grants. */
  token?: string;
  /** What to ask for when a token is asked for; a participant's grants when absent. */
  grants?: Grants;
  /** `relay`: only through TURN. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /** How pictures are sent; VP8 in several encodings when absent. */
  video?: VideoOptions;
  /** Voices carry copies of what came before (RED): loss is heard less, at twice the bits. */
  redundantAudio?: boolean;
  /** Tracks to begin with. */
  publish?: Partial<Record<Source, Published>>;
  /** Encrypts and decrypts all media in this browser. It is the room's from here on, and ends with it. */
  encryption?: Encryption;
  /** Round-trip times to the regions, see `measureRegions`. */
  rttMs: Record<Region, number>;
}

export class Room extends Emitter<RoomEvents> {
  readonly #options: RoomOptions;
  readonly #control: ControlPlane;
  readonly #roster = new Roster();
  readonly #log = new MessageLog();
  readonly #view: ViewTracker;
  readonly #loudspeaker = new Loudspeaker(blocked => this.emit('audioBlocked', blocked));
  readonly #messageSeqs = new Map<number, string>();
  /** Changes of grants that wait for their answer, by the number of the `grant`. */
  readonly #granting = new Map<number, { done: () => void; refused: (error: LyceumError) => void }>();
  #listen: readonly ParticipantId[] = [];
  readonly #idPrefix = crypto.randomUUID().slice(0, 18);
  #idNext = 1;
  #token: { text: string; expiresAt: number } | null = null;
  #identity = '';
  #connection: Connection | null = null;
  #stats = new StatsReader();
  #state: RoomState = { phase: 'connecting' };
  #me: Me | null = null;
  #published: ReadonlyMap<Source, Published>;
  #video: VideoOptions;
  #speakers: readonly ParticipantId[] = [];
  #paths: ReadonlyMap<ParticipantId, Path> = new Map();
  #rejoining = false;
  #wasConnected = false;
  #sessionsWithoutMedia = 0;

  /** Use `join`. */
  constructor(options: RoomOptions) {
    super();
    this.#options = options;
    this.#control = new ControlPlane(options.url);
    this.#video = options.video ?? {};
    this.#published = new Map(Object.entries(options.publish ?? {}) as [Source, Published][]);
    this.#view = new ViewTracker(tiles => this.#connection?.show(this.#shown(tiles)));
    options.encryption?.on('changed', () => this.emit('locked', null));
    window.addEventListener('online', this.#online);
    window.addEventListener('pagehide', this.#pagehide);
  }

  get state(): RoomState {
    return this.#state;
  }
  /** The room's name. */
  get room(): string {
    return this.#options.room;
  }
  /** Null until the first welcome. */
  get me(): Me | null {
    return this.#me;
  }
  get people(): readonly Participant[] {
    return this.#roster.people;
  }
  get total(): number {
    return this.#roster.total;
  }
  /** Whose voices are always heard here, however loud others are. */
  get listening(): readonly ParticipantId[] {
    return this.#listen;
  }
  get speakers(): readonly ParticipantId[] {
    return this.#speakers;
  }
  get paths(): ReadonlyMap<ParticipantId, Path> {
    return this.#paths;
  }
  get published(): ReadonlyMap<Source, Published> {
    return this.#published;
  }
  get log(): Pick<MessageLog, 'posted' | 'pending' | 'isMine'> {
    return this.#log;
  }
  /** What encrypts media end to end, if anything does. New keys go there. */
  get encryption(): Encryption | null {
    return this.#options.encryption ?? null;
  }
  get audioBlocked(): boolean {
    return this.#loudspeaker.blocked;
  }

  /** Looks for a place, tries others when it does not answer. Called by `join`. */
  async enter(): Promise<void> {
    const avoid: string[] = [];
    for (;;) {
      try {
        await this.#enter(avoid);
        return;
      } catch (thrown) {
        const error = asLyceumError(thrown);
        if (error.code !== 'edge_unreachable' || avoid.length >= 2) {
          this.#close({ phase: 'lost', error });
          throw error;
        }
      }
    }
  }

  /** Publishes a track, or replaces what is published as `source`. */
  async publish(source: Source, track: MediaStreamTrack | null, muted = false): Promise<void> {
    if (this.#me && !this.#me.grants.publish.includes(source)) {
      throw new LyceumError('not_allowed', 'Your token does not allow publishing this.');
    }
    const before = this.#published.get(source);
    if (track) track.enabled = !muted;
    this.#setPublished(source, { track, muted });
    const connection = this.#connection;
    if (!connection) return;
    const anew = await connection.media.publish(source, track, muted, this.#sealing());
    if (anew) await connection.media.negotiate();
    else if (before?.muted !== muted) connection.say({ type: 'mute', source, muted });
  }

  /** Stops publishing. The track itself is the page's to stop. */
  async unpublish(source: Source): Promise<void> {
    if (!this.#published.has(source)) return;
    this.#setPublished(source, null);
    await this.#connection?.media.unpublish(source);
    await this.#connection?.media.negotiate();
  }

  /** Mutes or unmutes. A muted source sends nothing. */
  async setMuted(source: Source, muted: boolean): Promise<void> {
    const published = this.#published.get(source);
    if (!published || published.muted === muted) return;
    if (published.track) published.track.enabled = !muted;
    this.#setPublished(source, { ...published, muted });
    await this.#sayMuted(source, muted);
  }

  /** Sends pictures in another way from now on: what is published is published again. */
  async setVideo(video: VideoOptions): Promise<void> {
    this.#video = video;
    const connection = this.#connection;
    if (!connection) return;
    connection.media.video = video;
    for (const source of ['camera', 'screen'] as const) {
      const published = this.#published.get(source);
      if (published)
        await connection.media.publish(source, published.track, published.muted, this.#sealing());
    }
    await connection.media.negotiate();
  }

  /** Whether this browser can show a track at all: a codec it lacks is never sent to it. True for a track nobody publishes. */
  canShow(name: TrackName): boolean {
    const person = this.#roster.find(name.participant);
    const publication = person?.publishes.find(({ source }) => source === name.source);
    return !publication || kindOf(name.source) === 'audio' || canDecode(publication.codec);
  }

  /** The track received, while a slot carries it. */
  trackOf(name: TrackName): MediaStreamTrack | undefined {
    return this.#connection?.trackOf(name);
  }

  /** Whether the packets in the track's slot are already its own; `undefined` when they do not say. */
  arrived(name: TrackName): boolean | undefined {
    return this.#connection?.arrived(name);
  }

  /** Whether the way here does not carry the picture now, beside what is more important: its last one stands. */
  paused(name: TrackName): boolean {
    return this.#connection?.paused(name) ?? false;
  }

  /** Why what comes as this track is not shown, with encryption; null when it is. */
  locked(name: TrackName): Locked | null {
    return this.#connection?.locked(name) ?? null;
  }

  /** A tile shows a track from now on, as large as `element`; the function returned ends it. */
  show(element: Element, track: TrackName, pinned = false): () => void {
    return this.#view.show(element, track, pinned);
  }

  /** Hears these voices in any case, most important first, at most eight; the teacher, an interpreter. */
  listen(voices: readonly ParticipantId[]): void {
    this.#listen = voices.slice(0, LISTEN_MAX);
    this.#connection?.show(this.#shown(this.#view.current()));
    this.emit('listen', this.#listen);
  }

  /** Changes what somebody in the room may do; for who moderates. Resolves when it is done. */
  changeGrants(participant: ParticipantId, change: GrantChange): Promise<void> {
    const connection = this.#connection;
    if (!this.#me?.grants.moderate || !connection) {
      return Promise.reject(new LyceumError('not_allowed', 'You do not moderate this room.'));
    }
    return new Promise((done, refused) => {
      const seq = connection.say({ type: 'grant', participant, change });
      const settle = (end: () => void) => {
        clearTimeout(timer);
        this.#granting.delete(seq);
        end();
      };
      const timer = setTimeout(
        () => settle(() => refused(new LyceumError('absent', 'Nobody has answered.'))),
        GRANT_TIMEOUT_MS,
      );
      this.#granting.set(seq, {
        done: () => settle(done),
        refused: error => settle(() => refused(error)),
      });
    });
  }

  /** Sends a message to the room. It appears in `log.pending` until the room has posted it. */
  send(kind: string, body: unknown): void {
    if (this.#me && !this.#me.grants.message) {
      throw new LyceumError('not_allowed', 'Your token does not allow writing here.');
    }
    if (new TextEncoder().encode(JSON.stringify(body)).length > BODY_BYTES_MAX) {
      throw new LyceumError('too_large', 'The message is too long.');
    }
    const message = this.#log.send(`${this.#idPrefix}-${this.#idNext++}`, kind, body);
    // Without a connection it waits for the next session.
    this.#post(message.id, kind, body);
    this.emit('messages', null);
  }

  /** To be called in a click when `audioBlocked`. */
  startAudio(): Promise<void> {
    return this.#loudspeaker.start();
  }

  /** Plays the room on another device. */
  setSpeaker(deviceId: string): Promise<void> {
    return this.#loudspeaker.setDevice(deviceId);
  }

  /** A look at the numbers; call it no more than every second or two. */
  async stats(): Promise<RoomStats> {
    const connection = this.#connection;
    const stats: RoomStats = { received: new Map(), sent: [], transport: null, signalRttMs: null };
    if (!connection) return stats;
    const read = this.#stats.read(await connection.media.stats());
    for (const person of this.people) {
      for (const { source } of person.publishes) {
        const name = { participant: person.id, source };
        const received = read.received.get(connection.midOf(name) ?? '');
        if (received) stats.received.set(trackKey(name), received);
      }
    }
    return { ...stats, sent: read.sent, transport: read.transport, signalRttMs: connection.signal.rttMs };
  }

  /** After `lost`: tries once more, from the control plane on. */
  retry(): void {
    if (this.#state.phase !== 'lost') return;
    this.#wasConnected = false;
    this.#sessionsWithoutMedia = 0;
    this.#become({ phase: 'connecting' });
    void this.#rejoin([]);
  }

  /** Leaves for good. The own tracks are the page's to stop. */
  leave(): void {
    this.#view.close();
    window.removeEventListener('online', this.#online);
    window.removeEventListener('pagehide', this.#pagehide);
    this.#close({ phase: 'left' });
    this.#options.encryption?.close();
  }

  async #enter(avoid: string[]): Promise<void> {
    const { room, region, iceTransportPolicy, rttMs } = this.#options;
    const token = await this.#freshToken();
    const placement = await this.#control.join(room, token, { region: region ?? null, rtt_ms: rttMs, avoid });
    if (this.#ended()) return;
    const connection = new Connection(placement, token, {
      iceTransportPolicy: iceTransportPolicy ?? 'all',
      video: this.#video,
      redundantAudio: this.#options.redundantAudio ?? false,
      encryption: this.#options.encryption ?? null,
    });
    this.#identity = identityOf(token);
    try {
      await this.#welcomed(connection);
    } catch (error) {
      connection.close();
      if (asLyceumError(error).code === 'edge_unreachable') avoid.push(placement.edge.node);
      throw error;
    }
    if (this.#ended()) {
      connection.close();
      return;
    }
    await this.#adopt(connection);
  }

  async #freshToken(): Promise<string> {
    const { token, room, name, identity } = this.#options;
    if (token !== undefined) return token;
    if (!this.#token || this.#token.expiresAt - Date.now() / 1000 < TOKEN_SPARE_S) {
      const answer = await this.#control.token({
        room,
        name,
        ...(identity === undefined ? {} : { identity }),
        ...(this.#options.grants === undefined ? {} : { grants: this.#options.grants }),
      });
      this.#token = { text: answer.token, expiresAt: answer.expires_at };
    }
    return this.#token.text;
  }

  /** Opens the socket and waits for the edge's word. From here on what the edge says is heard. */
  #welcomed(connection: Connection): Promise<void> {
    return new Promise((resolve, reject) => {
      let first = true;
      connection.on('welcome', welcome => {
        if (first) {
          this.#roster.expectWhole();
          const { participant: id, grants, edge, region } = welcome;
          this.#me = { id, grants, edge, region, reason: connection.placement.reason };
          this.emit('me', this.#me);
          resolve();
        }
        first = false;
      });
      connection.on('room', message => this.#heard(message));
      connection.on('failed', ({ attempts }) => {
        if (first && attempts >= 2) reject(new LyceumError('edge_unreachable', 'The edge does not answer.'));
      });
      connection.on('over', ({ error }) => reject(error));
      connection.signal.open();
    });
  }

  /** The welcomed connection takes over; what there was before is closed. */
  async #adopt(connection: Connection): Promise<void> {
    this.#connection?.close();
    this.#loudspeaker.clear();
    this.#connection = connection;
    this.#stats = new StatsReader();
    this.#sessionsWithoutMedia += 1;
    const mine = () => connection === this.#connection;
    connection.on('moved', ({ media }) => {
      if (!mine()) return;
      if (media === 'connected') this.#sessionsWithoutMedia = 0;
      if (media === 'failed')
        this.#broken(new LyceumError('media_lost', 'No picture or sound gets through.'), []);
      else this.#follow();
    });
    connection.on('tracks', tracks => mine() && this.emit('tracks', tracks));
    connection.on('voice', ({ mid, track }) => mine() && this.#loudspeaker.add(mid, track));
    connection.on('refused', refused => mine() && this.#refused(refused));
    connection.on('failed', failed => mine() && this.#unreachable(connection, failed));
    connection.on('over', ({ error, rejoin }) => {
      if (!mine()) return;
      if (rejoin) this.#broken(error, error.code === 'ended' ? [connection.placement.edge.node] : []);
      else this.#close({ phase: 'lost', error });
    });
    for (const [source, { track, muted }] of this.#published) {
      if (!this.#me?.grants.publish.includes(source)) continue;
      await connection.media.publish(source, track, muted, this.#sealing());
    }
    await connection.start(this.#shown(this.#view.current()));
    this.#follow();
    // What the old session may not have posted, once the room's history has been told.
    if (this.#log.unposted().length) {
      await connection.signal.flushed();
      if (mine()) for (const { id, kind, body } of this.#log.unposted()) this.#post(id, kind, body);
    }
  }

  #heard(message: ConnectionEvents['room']): void {
    switch (message.type) {
      case 'roster': {
        const change = this.#roster.apply(message);
        const gone = change.left.map(person => person.id);
        this.#options.encryption?.people(message.present, gone);
        // A path may be known before the person whose it is: only who left takes it along.
        const left = new Set(gone);
        this.#paths = new Map([...this.#paths].filter(([id]) => !left.has(id)));
        this.emit('roster', change);
        break;
      }
      case 'speakers':
        this.emit('speakers', (this.#speakers = message.active));
        break;
      case 'paths': {
        const paths = new Map(this.#paths);
        for (const path of message.paths) paths.set(path.participant, path);
        this.emit('paths', (this.#paths = paths));
        break;
      }
      case 'grants':
        void this.#regranted(message.grants, message.by);
        break;
      case 'granted':
        this.#granting.get(message.of)?.done();
        break;
      case 'message':
        if (!this.#log.arrived(message.message)) break;
        this.emit('message', message.message);
        this.emit('messages', null);
        break;
    }
  }

  /** What we may do is another now: what we may not publish any more has ended at the edge, and ends here. */
  async #regranted(now: Grants, by: ParticipantId | null): Promise<void> {
    if (!this.#me) return;
    const before = this.#me.grants;
    this.#me = { ...this.#me, grants: now };
    this.emit('me', this.#me);
    this.emit('grants', { before, now, by });
    const connection = this.#connection;
    const ended = [...this.#published.keys()].filter(source => !now.publish.includes(source));
    for (const source of ended) {
      this.#setPublished(source, null);
      await connection?.media.unpublish(source);
    }
    if (ended.length) await connection?.media.negotiate();
  }

  #shown(tiles: Tile[]): View {
    return { tiles, listen: [...this.#listen] };
  }

  #post(id: string, kind: string, body: unknown): void {
    const seq = this.#connection?.say({ type: 'message', id, kind, body });
    if (seq !== undefined) this.#messageSeqs.set(seq, id);
  }

  #refused({ code, message, of }: { code: LyceumError['code']; message: string; of: number | null }): void {
    const granting = of === null ? undefined : this.#granting.get(of);
    if (granting) {
      granting.refused(new LyceumError(code, message));
      return;
    }
    const id = of === null ? undefined : this.#messageSeqs.get(of);
    if (id !== undefined) {
      this.#log.refused(id, message);
      this.emit('messages', null);
    }
    this.emit('refused', new LyceumError(code, message));
  }

  /** The socket does not come back. While media flows the edge lives, and the session is worth waiting for. */
  #unreachable(connection: Connection, { attempts, cutForMs }: { attempts: number; cutForMs: number }): void {
    const alive = connection.media.state === 'connected';
    if (cutForMs < RESUME_MS && (alive || attempts < SOCKET_ATTEMPTS_WITHOUT_MEDIA)) return;
    this.#broken(new LyceumError('edge_unreachable', 'The edge does not answer any more.'), [
      connection.placement.edge.node,
    ]);
  }

  #broken(error: LyceumError, avoid: string[]): void {
    if (this.#sessionsWithoutMedia >= SESSIONS_WITHOUT_MEDIA_MAX) this.#close({ phase: 'lost', error });
    else void this.#rejoin(avoid);
  }

  async #rejoin(avoid: string[]): Promise<void> {
    if (this.#rejoining || this.#ended()) return;
    this.#rejoining = true;
    this.#connection?.signal.leave();
    this.#follow();
    const since = Date.now();
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#enter(avoid);
        break;
      } catch (thrown) {
        const error = asLyceumError(thrown);
        if (!error.passing || Date.now() - since > REJOIN_GIVE_UP_MS) {
          this.#rejoining = false;
          this.#close({ phase: 'lost', error });
          return;
        }
      }
      await new Promise(resolve => setTimeout(resolve, pauseMs(attempt, Math.random())));
      if (this.#ended()) break;
      // Once nothing is left to avoid everything, an edge that was away may be back.
      if (attempt > 2) avoid = [];
    }
    this.#rejoining = false;
    this.#follow();
  }

  #sealing(): Sealing {
    return { participant: this.#me?.id ?? '', identity: this.#identity };
  }

  async #sayMuted(source: Source, muted: boolean): Promise<void> {
    this.#connection?.say({ type: 'mute', source, muted });
    await this.#connection?.media.setMuted(source, muted);
  }

  #setPublished(source: Source, published: Published | null): void {
    const map = new Map(this.#published);
    if (published) map.set(source, published);
    else map.delete(source);
    this.emit('published', (this.#published = map));
  }

  /** The state that follows from those of signaling and media. */
  #follow(): void {
    if (this.#ended()) return;
    const signal = this.#connection?.signal.state === 'open';
    const media = this.#connection?.media.state === 'connected';
    if (signal && media && !this.#rejoining) {
      this.#wasConnected = true;
      this.#become({ phase: 'connected' });
    } else if (!this.#wasConnected) this.#become({ phase: 'connecting' });
    else {
      const away: Away = this.#rejoining || (!signal && !media) ? 'edge' : signal ? 'media' : 'signal';
      this.#become({ phase: 'reconnecting', away });
    }
  }

  #ended(): boolean {
    return this.#state.phase === 'lost' || this.#state.phase === 'left';
  }

  #close(end: RoomState): void {
    if (this.#state.phase === 'left') return;
    this.#become(end);
    this.#connection?.close();
    this.#connection = null;
    this.#loudspeaker.clear();
  }

  #become(state: RoomState): void {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.emit('state', state);
  }

  readonly #online = (): void => this.#connection?.signal.retryNow();
  readonly #pagehide = (event: PageTransitionEvent): void => {
    // A page that is kept for the way back may come back.
    if (!event.persisted) this.leave();
  };
}
