/**
 * An H264 frame around what is encrypted: a byte stream (ITU-T H.264 annex B) that packetizers cut at its start codes, and of which
 * receivers read parameter sets and the beginning of slices before they give it on.
 *
 *   00 00 00 01 SPS  00 00 00 01 PPS         of a key frame, as in the frame; on the way they may be written anew
 *   00 00 00 01 NAL header, 3 bytes          of the frame's first slice: which picture of which parameter set begins
 *               SFrame, escaped              so that no start code is in it (§7.4.1)
 *               80                           the end, which is no zero
 */
import { joined } from './sframe';
import type { Content, Shell } from './payload';

type Bytes = Uint8Array<ArrayBuffer>;

const START = Uint8Array.of(0, 0, 0, 1);
/** The bit that ends a NAL unit (§7.3.2.11), on a byte of its own. */
const END = 0x80;
/** NAL header and as much of a slice header as says where, what and under which parameter set. */
const HEAD_BYTES = 4;
/** Put after two zeros, where a byte up to 3 would follow. */
const ESCAPE = 0x03;

const SLICE = 1;
const IDR_SLICE = 5;
const SPS = 7;
const PPS = 8;

/** What is to stand around the frame; null when there is no slice in it. */
export function h264Shell(frame: Bytes): Shell | null {
  const units = unitsOf(frame);
  const slice = units.find(isSlice);
  if (!slice || slice.length < HEAD_BYTES) return null;
  const head = slice.slice(0, HEAD_BYTES);
  const sets = units.filter(unit => typeOf(unit) === SPS || typeOf(unit) === PPS);
  return {
    head,
    around: sealed =>
      joined(
        ...sets.flatMap(set => [START, set]),
        START,
        head,
        escaped(sealed, zerosAtEnd(head)),
        Uint8Array.of(END),
      ),
  };
}

/** What the frame's only slice holds; null when it is none of ours. */
export function h264Content(frame: Bytes): Content | null {
  const units = unitsOf(frame);
  const slice = units.find(isSlice);
  if (!slice || slice !== units.at(-1) || slice.length <= HEAD_BYTES || slice.at(-1) !== END) return null;
  const head = slice.slice(0, HEAD_BYTES);
  return { head, sealed: unescaped(slice.subarray(HEAD_BYTES, -1), zerosAtEnd(head)) };
}

function typeOf(unit: Uint8Array): number {
  return (unit[0] ?? 0) & 0x1f;
}

function isSlice(unit: Uint8Array): boolean {
  return typeOf(unit) === SLICE || typeOf(unit) === IDR_SLICE;
}

/** The NAL units between start codes of three or four bytes. */
function unitsOf(frame: Bytes): Bytes[] {
  const units: Bytes[] = [];
  let begins = -1;
  const end = (at: number) => {
    if (begins >= 0 && at > begins) units.push(frame.subarray(begins, at));
  };
  for (let at = 0; at + 2 < frame.length; at++) {
    if (frame[at] !== 0 || frame[at + 1] !== 0 || frame[at + 2] !== 1) continue;
    end(at > 0 && frame[at - 1] === 0 ? at - 1 : at);
    begins = at + 3;
    at += 2;
  }
  end(frame.length);
  return units;
}

function zerosAtEnd(bytes: Uint8Array): number {
  let zeros = 0;
  while (zeros < bytes.length && bytes[bytes.length - 1 - zeros] === 0) zeros++;
  return zeros;
}

/** `zeros`: that many stand right before. */
function escaped(bytes: Uint8Array, zeros: number): Bytes {
  // At most every third byte needs one.
  const out = new Uint8Array(bytes.length + Math.ceil((bytes.length + zeros) / 2));
  let to = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte <= ESCAPE) {
      out[to++] = ESCAPE;
      zeros = 0;
    }
    out[to++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out.slice(0, to);
}

function unescaped(bytes: Uint8Array, zeros: number): Bytes {
  const out = new Uint8Array(bytes.length);
  let to = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === ESCAPE) {
      zeros = 0;
      continue;
    }
    out[to++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out.slice(0, to);
}
