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

/** Encodings of a sending m-line. Only a camera is simulcast. */
export function encodingsOf(source: Source, linesOfPicture = CAMERA_LINES): RTCRtpEncodingParameters[] {
  switch (source) {
    case 'camera': {
      const fitting = CAMERA_LAYERS.find(({ linesMin }) => linesOfPicture >= linesMin);
      return (fitting?.layers ?? []).map(layer => ({ ...layer }));
    }
    case 'screen':
      return [{ maxBitrate: SCREEN_BITRATE_MAX, maxFramerate: SCREEN_FRAMERATE_MAX }];
    case 'microphone':
      return [{ maxBitrate: VOICE_BITRATE_MAX }];
    case 'screen_audio':
      return [{ maxBitrate: SCREEN_AUDIO_BITRATE_MAX }];
  }
}

/** Whether a source is heard or seen. */
export function kindOf(source: Source): 'audio' | 'video' {
  return source === 'microphone' || source === 'screen_audio' ? 'audio' : 'video';
}

/**
 * The codecs to offer: what edges forward, and its repairs. An offer with sixty m-lines must stay below the edge's bound,
 * and what no edge takes needs no line.
 */
export function preferred<Codec extends { mimeType: string }>(codecs: Codec[]): Codec[] {
  const order = ['audio/opus', 'video/vp8', 'video/rtx'];
  const rank = (codec: Codec) => order.indexOf(codec.mimeType.toLowerCase());
  return codecs.filter(codec => rank(codec) >= 0).sort((a, b) => rank(a) - rank(b));
}
