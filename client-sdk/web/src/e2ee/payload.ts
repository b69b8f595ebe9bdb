/**
 * What of a frame stays readable: no more than packetizers, edges and depacketizers cannot do without.
 *
 *   sound  | SFrame |
 *   VP8    | stand-in: 1 byte, of a key frame 10 | SFrame |
 *   VP9    | SFrame |                    all that is needed stands in the RTP payload descriptor, outside the frame
 *   AV1    | OBU header | SFrame |       one OBU, for which layers are told by the dependency descriptor
 *   H264   | SPS, PPS of a key frame | NAL header, 3 bytes of slice header | SFrame, escaped | 80 |
 *
 * VP8's stand-in looks like the beginning of a frame (RFC 6386 §9.1) and says whether it is a key frame and how large.
 * It is made here, not cut off: whatever stands in clear, the frame's real bytes are encrypted, all of them.
 */
import { h264Content, h264Shell } from './h264';
import { joined } from './sframe';

type Bytes = Uint8Array<ArrayBuffer>;

/** Shown, version 0, of a size nobody needs to know. The lowest bit tells delta frames. */
const SHOWN = 0x10;
const DELTA = 0x01;
/** A VP8 key frame's first bytes, size included. */
const KEY_FRAME_BYTES = 10;
const START_CODE = [0x9d, 0x01, 0x2a] as const;

/** An AV1 OBU of type frame, without extension (AV1 specification §5.3.2) … */
const OBU_FRAME = 0x30;
/** … and the bit that says that its size follows. Packetizers take it away, depacketizers give it back. */
const OBU_HAS_SIZE = 0x02;
/** Bytes of a size (leb128). */
const LEB128_BYTES_MAX = 8;

export type Framing = 'whole' | 'vp8' | 'av1' | 'h264';

/** What stands around an encrypted frame. */
export interface Shell {
  /** In clear, authenticated. */
  head: Bytes;
  /** The frame as it travels. */
  around(sealed: Bytes): Bytes;
}

/** A frame as it came. */
export interface Content {
  /** What stood in clear and must be as it was sent. */
  head: Bytes;
  sealed: Bytes;
}

/** How a codec's frames travel; null when they cannot. Browsers that do not name it were offered VP8 first. */
export function framingOf(mimeType: string | undefined, kind: 'audio' | 'video'): Framing | null {
  switch (mimeType?.toLowerCase() ?? (kind === 'audio' ? 'audio/opus' : 'video/vp8')) {
    case 'video/vp8':
      return 'vp8';
    case 'video/av1':
      return 'av1';
    case 'video/h264':
      return 'h264';
    case 'video/vp9':
    case 'audio/opus':
    case 'audio/red':
      return 'whole';
    default:
      return null;
  }
}

/** What is to stand around an encrypted frame. Null when it is no frame of this codec. */
export function shellOf(framing: Framing, frame: Bytes): Shell | null {
  switch (framing) {
    case 'whole':
      return before(new Uint8Array());
    case 'av1':
      return frame.length ? before(Uint8Array.of(OBU_FRAME)) : null;
    case 'vp8':
      return vp8Shell(frame);
    case 'h264':
      return h264Shell(frame);
  }
}

/** What stands within a shell; null when there is none of ours, so that the frame is not encrypted. */
export function contentOf(framing: Framing, frame: Bytes): Content | null {
  switch (framing) {
    case 'whole':
      return behind(frame, 0);
    case 'av1':
      return av1Content(frame);
    case 'vp8':
      return vp8Content(frame);
    case 'h264':
      return h264Content(frame);
  }
}

function before(head: Bytes): Shell {
  return { head, around: sealed => joined(head, sealed) };
}

function behind(frame: Bytes, length: number): Content {
  return { head: frame.slice(0, length), sealed: frame.subarray(length) };
}

function vp8Shell(frame: Bytes): Shell | null {
  const first = frame[0];
  if (first === undefined) return null;
  if ((first & DELTA) !== 0) return before(Uint8Array.of(SHOWN | DELTA));
  if (frame.length < KEY_FRAME_BYTES) return null;
  return before(Uint8Array.of(SHOWN, 0, 0, ...START_CODE, ...frame.subarray(6, KEY_FRAME_BYTES)));
}

function vp8Content(frame: Bytes): Content | null {
  if (frame[0] === (SHOWN | DELTA)) return behind(frame, 1);
  const ours =
    frame[0] === SHOWN &&
    frame[1] === 0 &&
    frame[2] === 0 &&
    START_CODE.every((byte, i) => frame[3 + i] === byte);
  return ours ? behind(frame, KEY_FRAME_BYTES) : null;
}

/** With a size or without, and nothing behind it. */
function av1Content(frame: Bytes): Content | null {
  const head = Uint8Array.of(OBU_FRAME);
  if (frame[0] === OBU_FRAME) return { head, sealed: frame.subarray(1) };
  if (frame[0] !== (OBU_FRAME | OBU_HAS_SIZE)) return null;
  let size = 0;
  for (let i = 0; i < LEB128_BYTES_MAX; i++) {
    const byte = frame[1 + i];
    if (byte === undefined) return null;
    size += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) return size === frame.length - 2 - i ? { head, sealed: frame.subarray(2 + i) } : null;
  }
  return null;
}
