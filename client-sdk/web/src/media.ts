/**
 * The one peer connection of a session: the client offers, the edge answers.
 *
 * M-lines are only ever added. Sending ones: one per source, kept for the next time when a source stops. Receiving
 * ones: slots, more of them as the page shows more. One offer is out at a time; what changes meanwhile goes into the next.
 */
import { type Demand } from './demand';
import type { Encryption } from './e2ee/encryption';
import { Emitter } from './emitter';
import {
  encodingsOf,
  isScalable,
  kindOf,
  offerDescriptor,
  preferred,
  reduced,
  type ScalableEncoding,
  type VideoCodec,
  type VideoOptions,
} from './encodings';
import { splitServers } from './ice-servers';
import type { ParticipantId, PublishLine, SlotKind, SlotLine, Source } from './generated';

/** A path that checks cannot keep alive for this long gets an ICE restart; shorter holes heal by themselves. */
export const RESTART_AFTER_MS = 2_500;
/** A restart has this long to bring the media back before the edge is given up. */
export const RESTART_TIMEOUT_MS = 12_000;

/** An edge that finds offers too frequent gets the next one after this: it allows one a second for long. */
export const OFFER_AGAIN_MS = 1_500;

/** The direct way has this long before relays over UDP are tried as well. */
export const DIRECT_ONLY_MS = 4_000;

/** What an offer says besides its SDP. */
export interface Offer {
  sdp: string;
  publish: PublishLine[];
  slots: SlotLine[];
}

/** `failed`: restarts did not help. */
export type MediaState = 'connecting' | 'connected' | 'interrupted' | 'failed' | 'closed';

export interface MediaEvents {
  offer: Offer;
  state: MediaState;
  /** A slot's m-line exists now and has its receiver. `lock`: the slot's number at the encryption. */
  slot: { mid: string; kind: SlotKind; receiver: RTCRtpReceiver; lock: number | null };
}

/** What a peer connection is made with. */
export interface MediaConfiguration {
  iceServers: RTCIceServer[];
  iceTransportPolicy: RTCIceTransportPolicy;
  /** How the camera is sent; may be changed by the next `publish`. */
  video: VideoOptions;
  /** Voices carry copies of what came before (RED): loss is heard less, at twice the bits. */
  redundantAudio: boolean;
  encryption: Encryption | null;
}

/** Who seals what is sent. */
export interface Sealing {
  participant: ParticipantId;
  identity: string;
}

interface Sending {
  transceiver: RTCRtpTransceiver;
  /** How many. */
  encodings: number;
  codec: VideoCodec | undefined;
  /** Layers of the one encoding when all are sent. */
  mode: string | undefined;
  /** Published now, rather than kept for later. */
  live: boolean;
  muted: boolean;
}

interface Receiving {
  transceiver: RTCRtpTransceiver;
  kind: SlotKind;
  lock: number | null;
  /** The mid it was last announced with: one that was rolled back may come again with another. */
  told: string | null;
}

type Timer = ReturnType<typeof setTimeout>;

export class Media extends Emitter<MediaEvents> {
  readonly #pc: RTCPeerConnection;
  readonly #demand: Demand;
  readonly #encryption: Encryption | null;
  readonly #sending = new Map<Source, Sending>();
  readonly #receiving: Receiving[] = [];
  #state: MediaState = 'connecting';
  #outstanding = false;
  #dirty = false;
  #restart = false;
  #restartTimer: Timer | undefined;
  #giveUpTimer: Timer | undefined;
  #demandTimer: Timer | undefined;
  #offerTimer: Timer | undefined;
  /** Changes of sender parameters, one after the other per source: they are read, changed and written. */
  readonly #parameters = new Map<Source, Promise<void>>();

  video: VideoOptions;
  readonly #redundantAudio: boolean;

  /** Servers for when the first ones do not do, see `splitServers`. */
  #keptBack: RTCIceServer[];
  #directTimer: Timer | undefined;

  constructor(configuration: MediaConfiguration, demand: Demand) {
    super();
    const { iceServers, iceTransportPolicy, video, redundantAudio, encryption } = configuration;
    this.video = video;
    this.#redundantAudio = redundantAudio;
    this.#encryption = encryption;
    this.#demand = demand;
    const { first, keptBack } = splitServers(iceServers, iceTransportPolicy);
    this.#keptBack = keptBack;
    this.#pc = new RTCPeerConnection({
      iceServers: first,
      iceTransportPolicy,
      bundlePolicy: 'max-bundle',
      rtcpMuxPolicy: 'require',
    });
    this.#pc.onconnectionstatechange = () => this.#moved();
  }

  get state(): MediaState {
    return this.#state;
  }

  /**
   * Sends a track as `source`, in place of what was sent as it (`null`: nothing for now, the camera is off).
   * Call `negotiate` afterwards when it says so.
   */
  async publish(
    source: Source,
    track: MediaStreamTrack | null,
    muted: boolean,
    { participant, identity }: Sealing,
  ): Promise<boolean> {
    const kind = kindOf(source);
    const codec = kind === 'video' ? this.video.codec : undefined;
    const encodings: ScalableEncoding[] = encodingsOf(source, track?.getSettings().height, this.video);
    const mode = isScalable(codec) ? encodings[0]?.scalabilityMode : undefined;
    const before = this.#sending.get(source);
    const alike = before?.encodings === encodings.length && before.codec === codec;
    if (before && (!track || alike)) {
      const revived = !before.live;
      before.live = true;
      before.muted = muted;
      if (track) before.mode = mode;
      before.transceiver.direction = 'sendonly';
      await before.transceiver.sender.replaceTrack(track);
      await this.#applyParameters(source);
      return revived;
    }
    // The number of encodings is the m-line's for ever, and a codec is best changed with it: another one takes over.
    if (before) await this.unpublish(source);
    // An encoding that rests from the start is one that no edge ever learns of.
    this.#demand.forget(source);
    const transceiver = this.#sendingTransceiver(track ?? kind, encodings);
    // Before there is anything to send.
    this.#encryption?.seal(transceiver.sender, { participant, source }, identity);
    prefer(transceiver, kind, 'sender', kind === 'audio' && this.#redundantAudio ? 'red' : codec);
    // With a descriptor edges do not look at the payload, where VP8 and H264 say how large their pictures are.
    if (kind === 'video') offerDescriptor(transceiver, isScalable(codec));
    this.#sending.set(source, { transceiver, encodings: encodings.length, codec, mode, live: true, muted });
    await this.#applyParameters(source);
    return true;
  }

  /** Stops sending a source. Call `negotiate` afterwards. */
  async unpublish(source: Source): Promise<void> {
    const sending = this.#sending.get(source);
    if (!sending) return;
    sending.live = false;
    sending.transceiver.direction = 'inactive';
    await sending.transceiver.sender.replaceTrack(null);
  }

  /** A muted source sends no packets at all. */
  async setMuted(source: Source, muted: boolean): Promise<void> {
    const sending = this.#sending.get(source);
    if (!sending) return;
    sending.muted = muted;
    await this.#applyParameters(source);
  }

  /** Applies what is watched to all encodings, now and whenever a grace runs out. */
  applyDemand(): void {
    for (const source of this.#sending.keys()) void this.#applyParameters(source);
    clearTimeout(this.#demandTimer);
    const now = Date.now();
    const deadline = this.#demand.deadline(now);
    if (deadline !== null && this.#state !== 'closed') {
      this.#demandTimer = setTimeout(() => this.applyDemand(), deadline - now + 1);
    }
  }

  /** Has at least `count` slots of a kind. True when an offer is needed for it. */
  ensureSlots(kind: SlotKind, count: number): boolean {
    const have = this.#receiving.filter(slot => slot.kind === kind).length;
    for (let i = have; i < count; i++) {
      const media = kind === 'audio' ? 'audio' : 'video';
      const transceiver = this.#pc.addTransceiver(media, { direction: 'recvonly' });
      prefer(transceiver, media, 'receiver');
      const lock = this.#encryption?.open(transceiver.receiver, kind) ?? null;
      if (media === 'video') offerDescriptor(transceiver, true);
      this.#receiving.push({ transceiver, kind, lock, told: null });
    }
    return have < count;
  }

  slotCount(kind: SlotKind): number {
    return this.#receiving.filter(slot => slot.kind === kind).length;
  }

  /** Makes an offer for what has changed, now or when the one that is out has been answered. */
  async negotiate(): Promise<void> {
    if (this.#state === 'closed') return;
    if (this.#outstanding) {
      this.#dirty = true;
      return;
    }
    this.#outstanding = true;
    this.#dirty = false;
    const iceRestart = this.#restart;
    this.#restart = false;
    await this.#pc.setLocalDescription(await this.#pc.createOffer({ iceRestart }));
    for (const slot of this.#receiving) {
      const mid = slot.transceiver.mid;
      if (mid === null || slot.told === mid) continue;
      slot.told = mid;
      this.emit('slot', { mid, kind: slot.kind, receiver: slot.transceiver.receiver, lock: slot.lock });
    }
    this.emit('offer', this.#offer());
  }

  /** The edge's answer. */
  async answered(sdp: string): Promise<void> {
    if (this.#pc.signalingState !== 'have-local-offer') return;
    await this.#pc.setRemoteDescription({ type: 'answer', sdp });
    if (this.#keptBack.length) this.#directTimer ??= setTimeout(() => this.#tryAllServers(), DIRECT_ONLY_MS);
    this.#outstanding = false;
    if (this.#dirty || this.#restart) await this.negotiate();
  }

  /** The edge refused the offer: everything is as before it, and may be offered again a little later. */
  async refused(again: boolean): Promise<void> {
    if (this.#pc.signalingState === 'have-local-offer') {
      await this.#pc.setLocalDescription({ type: 'rollback' });
    }
    this.#outstanding = false;
    if (!again && !this.#dirty && !this.#restart) return;
    clearTimeout(this.#offerTimer);
    this.#offerTimer = setTimeout(() => void this.negotiate(), OFFER_AGAIN_MS);
  }

  /** Looks for a new path to the edge (RFC 8445 §2.4). */
  restartIce(): void {
    if (this.#state === 'closed') return;
    this.#restart = true;
    void this.negotiate();
  }

  stats(): Promise<RTCStatsReport> {
    return this.#pc.getStats();
  }

  close(): void {
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#giveUpTimer);
    clearTimeout(this.#demandTimer);
    clearTimeout(this.#offerTimer);
    clearTimeout(this.#directTimer);
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
    this.#become('closed');
  }

  #sendingTransceiver(
    track: MediaStreamTrack | 'audio' | 'video',
    encodings: ScalableEncoding[],
  ): RTCRtpTransceiver {
    try {
      return this.#pc.addTransceiver(track, { direction: 'sendonly', sendEncodings: encodings });
    } catch {
      // The browser knows none of its codecs to have these layers.
      const plain = encodings.map(encoding => {
        const rest = { ...encoding };
        delete rest.scalabilityMode;
        return rest;
      });
      return this.#pc.addTransceiver(track, { direction: 'sendonly', sendEncodings: plain });
    }
  }

  #offer(): Offer {
    const publish: PublishLine[] = [];
    for (const [source, { transceiver, live, muted }] of this.#sending) {
      if (live && transceiver.mid !== null) publish.push({ mid: transceiver.mid, source, muted });
    }
    const slots = this.#receiving.flatMap(({ transceiver: { mid }, kind }) =>
      mid === null ? [] : [{ mid, kind }],
    );
    return { sdp: this.#pc.localDescription?.sdp ?? '', publish, slots };
  }

  #tryAllServers(): void {
    if (this.#state !== 'connecting') return;
    const { iceServers = [], ...rest } = this.#pc.getConfiguration();
    this.#pc.setConfiguration({ ...rest, iceServers: [...iceServers, ...this.#keptBack] });
    this.#keptBack = [];
    this.restartIce();
  }

  #moved(): void {
    switch (this.#pc.connectionState) {
      case 'connected':
        clearTimeout(this.#restartTimer);
        clearTimeout(this.#giveUpTimer);
        this.#restartTimer = this.#giveUpTimer = undefined;
        this.#become('connected');
        break;
      case 'disconnected':
        this.#become('interrupted');
        this.#restartTimer ??= setTimeout(() => this.#interrupted(), RESTART_AFTER_MS);
        break;
      case 'failed':
        this.#become('interrupted');
        clearTimeout(this.#restartTimer);
        this.#interrupted();
        break;
    }
  }

  #interrupted(): void {
    if (this.#giveUpTimer !== undefined) return;
    this.#giveUpTimer = setTimeout(() => this.#become('failed'), RESTART_TIMEOUT_MS);
    this.restartIce();
  }

  #become(state: MediaState): void {
    if (state === this.#state || this.#state === 'closed') return;
    this.#state = state;
    this.emit('state', state);
  }

  #applyParameters(source: Source): Promise<void> {
    const before = this.#parameters.get(source) ?? Promise.resolve();
    const next = before.then(() => this.#writeParameters(source));
    this.#parameters.set(source, next);
    return next;
  }

  /** Leaves out the spatial layers within an encoding that nobody watches. Says whether that changes anything. */
  #reduce(source: Source, { mode }: Sending, encoding: ScalableEncoding, now: number): boolean {
    const spatial = this.#demand.spatial(source, now);
    if (mode === undefined || encoding.scalabilityMode === undefined) return false;
    const { scalabilityMode, scaleDownBy } = spatial === null ? reduced(mode, 7) : reduced(mode, spatial);
    if (encoding.scalabilityMode === scalabilityMode && encoding.scaleResolutionDownBy === scaleDownBy)
      return false;
    encoding.scalabilityMode = scalabilityMode;
    encoding.scaleResolutionDownBy = scaleDownBy;
    return true;
  }

  async #writeParameters(source: Source): Promise<void> {
    const sending = this.#sending.get(source);
    if (!sending || this.#pc.signalingState === 'closed') return;
    const { sender } = sending.transceiver;
    const parameters = sender.getParameters();
    const now = Date.now();
    let changed = false;
    for (const encoding of parameters.encodings) {
      const active = !sending.muted && this.#demand.active(source, encoding.rid ?? '', now);
      changed ||= (encoding.active ?? true) !== active;
      encoding.active = active;
      changed = this.#reduce(source, sending, encoding, now) || changed;
    }
    if (!changed) return;
    try {
      await sender.setParameters(parameters);
    } catch {
      // A negotiation finished between reading and writing: read again. Anything else repeats itself and ends here.
      const again = sender.getParameters();
      again.encodings.forEach((encoding, i) => Object.assign(encoding, parameters.encodings[i]));
      await sender.setParameters(again).catch(() => undefined);
    }
  }
}

function prefer(
  transceiver: RTCRtpTransceiver,
  kind: 'audio' | 'video',
  side: 'sender' | 'receiver',
  first?: VideoCodec | 'red',
): void {
  const capabilities =
    side === 'sender' ? RTCRtpSender.getCapabilities(kind) : RTCRtpReceiver.getCapabilities(kind);
  const codecs = preferred(capabilities?.codecs ?? [], first);
  // Older browsers have no say in it and offer everything, which is longer and works as well.
  if (codecs.length && 'setCodecPreferences' in transceiver) transceiver.setCodecPreferences(codecs);
}
