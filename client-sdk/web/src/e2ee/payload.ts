/**
 * What of a frame stays readable: no more than packetizers, edges and depacketizers cannot do without.
 *
 *   VP8    | stand-in: 1 byte, of a key frame 10 | SFrame |
 *   VP9    | SFrame |      all that is needed stands in the RTP payload descriptor, outside the frame
 *   sound  | SFrame |
 *
 * The stand-in looks like the beginning of a VP8 frame (RFC 6386 §9.1) and says whether it is a key frame and how large.
 * It is made here, not cut off: the frame's real first bytes are encrypted with the rest. It is authenticated.
 * H264 and AV1 are packetized along boundaries inside the frame: encrypted they cannot be sent, and are refused.
 */

/** Shown, version 0, of a size nobody needs to know. The lowest bit tells delta frames. */
const SHOWN = 0x10;
const DELTA = 0x01;
/** A VP8 key frame's first bytes, size included. */
const KEY_FRAME_BYTES = 10;
const START_CODE = [0x9d, 0x01, 0x2a] as const;

export type Framing = 'whole' | 'vp8';

/** How a codec's frames travel; null when they cannot. Browsers that do not name it were offered Opus and VP8 only. */
export function framingOf(mimeType: string | undefined, kind: 'audio' | 'video'): Framing | null {
  switch (mimeType?.toLowerCase() ?? (kind === 'audio' ? 'audio/opus' : 'video/vp8')) {
    case 'video/vp8':
      return 'vp8';
    case 'video/vp9':
    case 'audio/opus':
    case 'audio/red':
      return 'whole';
    default:
      return null;
  }
}

/** What stands before the encrypted frame. Null when it is no frame of this codec. */
export function standIn(framing: Framing, frame: Uint8Array): Uint8Array<ArrayBuffer> | null {
  const first = frame[0];
  if (framing === 'whole') return new Uint8Array();
  if (first === undefined) return null;
  if ((first & DELTA) !== 0) return Uint8Array.of(SHOWN | DELTA);
  if (frame.length < KEY_FRAME_BYTES) return null;
  return Uint8Array.of(SHOWN, 0, 0, ...START_CODE, ...frame.subarray(6, KEY_FRAME_BYTES));
}

/** Bytes of the stand-in before an encrypted frame; null when there is none of ours, so that it is not encrypted. */
export function standInLength(framing: Framing, frame: Uint8Array): number | null {
  if (framing === 'whole') return 0;
  switch (frame[0]) {
    case SHOWN | DELTA:
      return 1;
    case SHOWN:
      return frame[1] === 0 && frame[2] === 0 && START_CODE.every((byte, i) => frame[3 + i] === byte)
        ? KEY_FRAME_BYTES
        : null;
    default:
      return null;
  }
}
