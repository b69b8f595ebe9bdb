/** How the own tracks are sent. */
import type { Source } from './generated';

/** One encoding of a camera. */
interface Layer {
  rid: string;
  scaleResolutionDownBy: number;
  maxBitrate: number;
}

/**
 * A camera's encodings by the height of its picture, smallest encoding first; bitrates are for 30 frames per second, VP8.
 * Browsers send no more of them than the picture is worth (Chromium: three from 540 lines, two from 270) and leave
 * out the largest ones, so that three of a small picture would be two postage stamps.
 */
const CAMERA_LAYERS: readonly { linesMin: number; layers: readonly Layer[] }[] = [
  {
    linesMin: 540,
    layers: [
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
    ],
  },
  {
    linesMin: 270,
    layers: [
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 200_000 },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 700_000 },
    ],
  },
  { linesMin: 0, layers: [{ rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 250_000 }] },
];
/** A camera that is off will most likely be this high when it comes on. */
const CAMERA_LINES = 720;
/** Text must stay sharp; it seldom moves. */
const SCREEN_BITRATE_MAX = 2_500_000;
const SCREEN_FRAMERATE_MAX = 15;
/** Speech in Opus, with room for its forward error correction. */
const VOICE_BITRATE_MAX = 40_000;
/** A shared screen's sound may be music. */
const SCREEN_AUDIO_BITRATE_MAX = 96_000;

/** Codecs that edges forward, spelled as in SDP. */
export const VIDEO_CODECS = ['VP8', 'VP9', 'H264', 'AV1'] as const;
export type VideoCodec = (typeof VIDEO_CODECS)[number];

/** How pictures are sent. */
export interface VideoOptions {
  /** VP8 when absent: every browser has it, and it costs the least. An edge or browser that lacks the codec falls back to VP8. */
  codec?: VideoCodec;
  /**
   * The camera's layers in one encoding (`L3T3_KEY`, `L1T3` …), in place of what suits codec and picture. VP9 and AV1 only: VP8 and
   * H264 are sent as several encodings, of which this may choose the temporal layers (`L1T2` …).
   */
  scalabilityMode?: string;
}

/** Layers in one encoding by the height of the picture. k-SVC: a viewer of the full picture is sent its layer alone. */
const SCALABILITY: Record<'VP9' | 'AV1', readonly { linesMin: number; mode: string }[]> = {
  VP9: [
    { linesMin: 540, mode: 'L3T3_KEY' },
    { linesMin: 270, mode: 'L2T3_KEY' },
    { linesMin: 0, mode: 'L1T3' },
  ],
  AV1: [
    { linesMin: 540, mode: 'L3T3' },
    { linesMin: 270, mode: 'L2T3' },
    { linesMin: 0, mode: 'L1T3' },
  ],
};
/** VP9 and AV1 need about two thirds of the bits of VP8. */
const MODERN_SAVES = 0.7;
/** Temporal layers of each encoding: a slow viewer gets half or a quarter of the pictures rather than none. */
const TEMPORAL_MODE = 'L1T3';

/** Whether a codec's layers share one encoding. */
export function isScalable(codec: VideoCodec | undefined): codec is 'VP9' | 'AV1' {
  return codec === 'VP9' || codec === 'AV1';
}

/** Encodings of a sending m-line. Only a camera has layers. */
export function encodingsOf(
  source: Source,
  linesOfPicture = CAMERA_LINES,
  { codec, scalabilityMode }: VideoOptions = {},
): RTCRtpEncodingParameters[] {
  switch (source) {
    case 'camera': {
      const layers = CAMERA_LAYERS.find(({ linesMin }) => linesOfPicture >= linesMin)?.layers ?? [];
      if (isScalable(codec)) {
        const suits = SCALABILITY[codec].find(({ linesMin }) => linesOfPicture >= linesMin)?.mode;
        const bits = layers.reduce((sum, layer) => sum + layer.maxBitrate, 0);
        return [
          {
            scaleResolutionDownBy: 1,
            maxBitrate: Math.round(bits * MODERN_SAVES),
            ...modeOf(scalabilityMode ?? suits),
          },
        ];
      }
      return layers.map(layer => ({ ...layer, ...modeOf(scalabilityMode ?? TEMPORAL_MODE) }));
    }
    case 'screen':
      return [{ maxBitrate: SCREEN_BITRATE_MAX, maxFramerate: SCREEN_FRAMERATE_MAX }];
    case 'microphone':
      return [{ maxBitrate: VOICE_BITRATE_MAX }];
    case 'screen_audio':
      return [{ maxBitrate: SCREEN_AUDIO_BITRATE_MAX }];
  }
}

/** An encoding as a browser takes it that knows scalability; the others leave it out. */
export type ScalableEncoding = RTCRtpEncodingParameters & { scalabilityMode?: string };

function modeOf(scalabilityMode: string | undefined): { scalabilityMode?: string } {
  return scalabilityMode === undefined ? {} : { scalabilityMode };
}

/** What of an encoding is sent while nobody watches its upper spatial layers. */
export interface Reduced {
  scalabilityMode: string;
  /** By how much the picture is to be smaller than the full one. */
  scaleDownBy: number;
}

/** `mode` cut down to its spatial layers 0 to `spatial`: those keep their sizes. The whole of it when `spatial` is its highest. */
export function reduced(mode: string, spatial: number): Reduced {
  const parts = /^([LS])(\d)T(\d)(h?)(.*)$/.exec(mode);
  const layers = Number(parts?.[2] ?? 1);
  if (!parts || spatial >= layers - 1) return { scalabilityMode: mode, scaleDownBy: 1 };
  const [, letter = 'L', , temporal = '1', ratio = '', kind = ''] = parts;
  const left = Math.max(0, spatial) + 1;
  const step = ratio === 'h' ? 1.5 : 2;
  return {
    scalabilityMode: left === 1 ? `L1T${temporal}` : `${letter}${left}T${temporal}${ratio}${kind}`,
    scaleDownBy: step ** (layers - left),
  };
}

/** Whether a source is heard or seen. */
export function kindOf(source: Source): 'audio' | 'video' {
  return source === 'microphone' || source === 'screen_audio' ? 'audio' : 'video';
}

/**
 * The codecs to offer: what edges forward, and its repairs, `first` before all others. An offer with sixty m-lines must stay
 * below the edge's bound, and what no edge takes needs no line. Redundant sound (RED) is taken by all, and sent by who puts it first.
 */
export function preferred<Codec extends { mimeType: string }>(
  codecs: Codec[],
  first?: VideoCodec | 'red',
): Codec[] {
  const kind = first === 'red' ? 'audio' : 'video';
  const order = [
    ...(first === undefined ? [] : [`${kind}/${first.toLowerCase()}`]),
    'audio/opus',
    'audio/red',
    ...VIDEO_CODECS.map(codec => `video/${codec.toLowerCase()}`),
    'video/rtx',
  ];
  const rank = (codec: Codec) => order.indexOf(codec.mimeType.toLowerCase());
  return codecs.filter(codec => rank(codec) >= 0).sort((a, b) => rank(a) - rank(b));
}

/** Whether this browser can show a picture of this codec. */
export function canDecode(codec: string): boolean {
  const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs;
  // A browser that does not say is taken at its answer.
  return !codecs || codecs.some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}`);
}

/** The extension in which layers are described. */
const DEPENDENCY_DESCRIPTOR =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

interface HeaderExtension {
  uri: string;
  direction: RTCRtpTransceiverDirection;
}

/**
 * Has the dependency descriptor offered on an m-line or not, where the browser has a say in it: left alone, Chromium offers it
 * where AV1 is among the codecs.
 */
export function offerDescriptor(transceiver: RTCRtpTransceiver, wanted: boolean): void {
  const able = transceiver as RTCRtpTransceiver & {
    getHeaderExtensionsToNegotiate?: () => HeaderExtension[];
    setHeaderExtensionsToNegotiate?: (extensions: HeaderExtension[]) => void;
  };
  const extensions = able.getHeaderExtensionsToNegotiate?.();
  const descriptor = extensions?.find(({ uri }) => uri === DEPENDENCY_DESCRIPTOR);
  const direction = wanted ? 'sendrecv' : 'stopped';
  if (!extensions || !descriptor || descriptor.direction === direction) return;
  descriptor.direction = direction;
  able.setHeaderExtensionsToNegotiate?.(extensions);
}
