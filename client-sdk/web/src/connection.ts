/** One session with one edge: its signaling, its peer connection, its slots. A room outlives it by making another. */
import { Demand } from './demand';
import type { Encryption, Locked } from './e2ee/encryption';
import { Emitter } from './emitter';
import { LyceumError } from './errors';
import type { ParticipantId, Placement, Tile, TrackName } from './generated';
import { signalUrl } from './control';
import { Media, type MediaConfiguration, type MediaState } from './media';
import { csrcOf, type TrackKey } from './names';
import type { Hears, Says } from './numbering';
import { Signal, type SignalState, type Welcome } from './signal';
import { SlotMap, videoSlotsFor } from './slots';

/** Voices heard at once. */
export const AUDIO_SLOTS = 3;
/** Screens seen at once. */
export const SCREEN_SLOTS = 1;
/** Pictures that fit before the first re-offer. */
export const VIDEO_SLOTS_FIRST = 4;

/** What is on the screen, and whose voices are always heard. */
export interface View {
  tiles: Tile[];
  listen: ParticipantId[];
}

export interface ConnectionEvents {
  welcome: Welcome;
  /** The room speaks: roster, speakers, messages, paths, grants. */
  room: Extract<Hears, { type: 'roster' | 'speakers' | 'message' | 'paths' | 'grants' | 'granted' }>;
  /** Something of ours was refused. */
  refused: { code: LyceumError['code']; message: string; of: number | null };
  /** These tracks came into a slot, lost theirs, were paused or are no longer. */
  tracks: Set<TrackKey>;
  /** An audio slot is ready to be played. */
  voice: { mid: string; track: MediaStreamTrack };
  /** Signaling or media changed state. */
  moved: { signal: SignalState; media: MediaState };
  failed: { attempts: number; cutForMs: number };
  over: { error: LyceumError; rejoin: boolean };
}

/** How media goes its way. */
export type ConnectionOptions = Omit<MediaConfiguration, 'iceServers'>;

export class Connection extends Emitter<ConnectionEvents> {
  readonly placement: Placement;
  readonly signal: Signal;
  readonly media: Media;
  readonly #slots = new SlotMap();
  readonly #receivers = new Map<string, RTCRtpReceiver>();
  readonly #encryption: Encryption | null;
  /** Slots' numbers at the encryption, by mid. */
  readonly #locks = new Map<string, number>();
  readonly #demand = new Demand();
  #offerSeq = 0;
  #view: View | null = null;

  constructor(placement: Placement, token: string, { iceTransportPolicy, ...sending }: ConnectionOptions) {
    super();
    this.#encryption = sending.encryption;
    this.placement = placement;
    this.signal = new Signal({ url: signalUrl(placement.edge.url), token });
    const iceServers = placement.ice_servers.map(server => ({ ...server }));
    this.media = new Media({ iceServers, iceTransportPolicy, ...sending }, this.#demand);
    this.#wire();
  }

  /** Sends the first offer. The sources to publish have been given to `media` before. */
  async start(view: View): Promise<void> {
    const { tiles, listen } = view;
    // Said before the offer, so that slots begin with what is shown and not with what came first.
    if (tiles.length || listen.length) this.show(view);
    this.media.ensureSlots('audio', AUDIO_SLOTS);
    this.media.ensureSlots('screen', SCREEN_SLOTS);
    this.media.ensureSlots('video', videoSlotsFor(videoTiles(tiles), VIDEO_SLOTS_FIRST));
    await this.media.negotiate();
  }

  /** Tells the edge what is on the screen, and asks for more slots when there are more pictures than slots. */
  show(view: View): void {
    // While the socket is away only the newest view matters: it is said at the welcome.
    if (this.signal.state === 'open') this.signal.say({ type: 'view', ...view });
    else this.#view = view;
    const have = this.media.slotCount('video');
    if (have && this.media.ensureSlots('video', videoSlotsFor(videoTiles(view.tiles), have))) {
      void this.media.negotiate();
    }
  }

  say(body: Says): number {
    return this.signal.say(body);
  }

  /** The received track, while a slot carries it. */
  trackOf(name: TrackName): MediaStreamTrack | undefined {
    const slot = this.#slots.of(name);
    return slot && this.#receivers.get(slot.mid)?.track;
  }

  /** The slot a track is in, for statistics. */
  midOf(name: TrackName): string | undefined {
    return this.#slots.of(name)?.mid;
  }

  /**
   * Whether the packets now arriving in the track's slot are its own; the assignment may be ahead of them.
   * `undefined` when the packets do not say.
   */
  arrived(name: TrackName): boolean | undefined {
    const slot = this.#slots.of(name);
    const sources = (slot && this.#receivers.get(slot.mid)?.getContributingSources()) ?? [];
    const newest = sources.reduce<RTCRtpContributingSource | undefined>(
      (best, source) => (best && best.timestamp >= source.timestamp ? best : source),
      undefined,
    );
    return newest ? newest.source === csrcOf(name.participant) : undefined;
  }

  /** Whether the way here does not carry the track now, though a slot is its own. */
  paused(name: TrackName): boolean {
    return this.#slots.of(name)?.paused ?? false;
  }

  /** Why what comes as this track is not shown, with encryption; null when it is. */
  locked(name: TrackName): Locked | null {
    const slot = this.#slots.of(name);
    const lock = slot && this.#locks.get(slot.mid);
    return lock === undefined ? null : (this.#encryption?.locked(lock, name.participant) ?? null);
  }

  close(): void {
    this.signal.leave();
    this.media.close();
  }

  #wire(): void {
    const { signal, media } = this;
    const moved = () => this.emit('moved', { signal: signal.state, media: media.state });
    signal.on('state', moved);
    media.on('state', moved);
    signal.on('failed', failed => this.emit('failed', failed));
    signal.on('over', over => this.emit('over', over));
    signal.on('welcome', welcome => {
      this.emit('welcome', welcome);
      const view = this.#view;
      this.#view = null;
      if (view) this.show(view);
    });
    signal.on('message', message => this.#heard(message));
    media.on('offer', offer => (this.#offerSeq = signal.say({ type: 'offer', ...offer })));
    media.on('slot', ({ mid, kind, receiver, lock }) => {
      this.#slots.add(mid, kind);
      this.#receivers.set(mid, receiver);
      if (lock !== null) this.#locks.set(mid, lock);
      if (kind === 'audio') this.emit('voice', { mid, track: receiver.track });
    });
  }

  #heard(message: Hears): void {
    switch (message.type) {
      case 'answer':
        void this.media.answered(message.sdp).catch((cause: unknown) => {
          const error = new LyceumError('bad_offer', 'The answer of the edge cannot be used.', { cause });
          this.emit('over', { error, rejoin: false });
        });
        break;
      case 'slots': {
        const touched = this.#slots.apply(message.assigned);
        if (touched.size) this.emit('tracks', touched);
        break;
      }
      case 'demand':
        this.#demand.said(message.source, message.watched, Date.now(), message.spatial);
        this.media.applyDemand();
        break;
      case 'refused':
        if (message.of !== null && message.of === this.#offerSeq) {
          const again = message.code === 'too_many';
          void this.media.refused(again);
          if (again) break;
        }
        this.emit('refused', message);
        break;
      case 'roster':
      case 'speakers':
      case 'message':
      case 'paths':
      case 'grants':
      case 'granted':
        this.emit('room', message);
        break;
    }
  }
}

function videoTiles(tiles: Tile[]): number {
  return tiles.filter(tile => tile.track.source === 'camera').length;
}
