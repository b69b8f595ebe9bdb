/** How the own tracks are sent. */
import type { Source } from './generated';

/** One encoding of a camera. */
interface Layer {
  rid: string;
  scaleResolutionDownBy: number;
  maxBitrate: number;
}

/** Quarter, half and full size, lowest first. Bitrates are for 1280×720 at 30 frames per second, VP8. */
const CAMERA_LAYERS: readonly Layer[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];
/** Text must stay sharp; it seldom moves. */
const SCREEN_BITRATE_MAX = 2_500_000;
const SCREEN_FRAMERATE_MAX = 15;
/** Speech in Opus, with room for its forward error correction. */
const VOICE_BITRATE_MAX = 40_000;
/** A shared screen's sound may be music. */
const SCREEN_AUDIO_BITRATE_MAX = 96_000;

/** Encodings of a new sending m-line. Only a camera is simulcast. */
export function encodingsOf(source: Source): RTCRtpEncodingParameters[] {
  switch (source) {
    case 'camera':
      return CAMERA_LAYERS.map(layer => ({ ...layer }));
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
