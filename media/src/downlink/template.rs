//! A slot's RTP header, written once and then only patched.
//!
//! ```text
//!   V P X CC│M PT│sequence│timestamp│SSRC│CSRC│BEDE len│mid …│transport-cc│abs-send-time│audio level│pad
//!            ╰───────── patched ─────────╯  ╰ on a switch ╯   ╰───────── patched ────────────────╯
//! ```
//!
//! A dependency descriptor is of another length in every packet: it goes behind the rest of the block. The few that are longer
//! than 16 bytes make the whole block one of two-byte elements (RFC 8285 §4.3).

use lyceum_wire::ext::{self, AudioLevel, Form, Kind};
use lyceum_wire::rtp;

/// Room for a header in bytes: fixed part, one CSRC, and extensions with the longest mid.
const BYTES: usize = 64;
/// Longest mid written, in bytes: what the one-byte form of header extensions can hold (RFC 8285 §4.2).
pub const MID_BYTES_MAX: usize = 16;

/// A header with holes.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: [u8; BYTES],
    len: usize,
    /// Places of extension data; 0: not there.
    transport_at: usize,
    send_time_at: usize,
    level_at: usize,
    /// Id of the dependency descriptor; 0: the peer does not take it.
    descriptor_id: u8,
    /// Bytes of the other elements as two-byte ones.
    wide_bytes: usize,
}

/// What goes into the holes of one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holes {
    pub(crate) padded: bool,
    pub(crate) marker: bool,
    pub(crate) pt: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) transport: u16,
    pub(crate) send_time: u32,
    pub(crate) level: Option<AudioLevel>,
}

impl Template {
    /// A header for this source. `level`: sound, which carries its loudness.
    pub(crate) fn new(ssrc: u32, mid: &str, extensions: &ext::Map, level: bool) -> Self {
        let mut template = Self {
            bytes: [0; BYTES],
            len: 0,
            transport_at: 0,
            send_time_at: 0,
            level_at: 0,
            descriptor_id: extensions.id(Kind::DependencyDescriptor).unwrap_or(0),
            wide_bytes: 0,
        };
        let fields = rtp::Fields { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc };
        let written = rtp::Writer::start(&mut template.bytes, fields, &[0], Form::OneByte).and_then(|mut writer| {
            let mut at = BLOCK_AT;
            let mut add = |kind: Kind, data: &[u8]| {
                let Some(id) = extensions.id(kind).filter(|id| Form::OneByte.fits(*id, data.len())) else {
                    return Ok(0);
                };
                writer.extension(id, data)?;
                let place = at + 1;
                at = place + data.len();
                Ok(place)
            };
            add(Kind::Mid, mid.as_bytes())?;
            template.transport_at = add(Kind::TransportSequence, &[0; 2])?;
            template.send_time_at = add(Kind::AbsSendTime, &[0; 3])?;
            if level {
                template.level_at = add(Kind::AudioLevel, &[AudioLevel::SILENT])?;
            }
            writer.finish()
        });
        // A mid too long for the room is left out by `fits`; nothing else is of variable length.
        template.len = written.unwrap_or(0);
        template.wide_bytes = template.elements().map(|element| 2 + element.data.len()).sum();
        if template.len <= BLOCK_AT {
            template.descriptor_id = 0;
        }
        template
    }

    /// Whether the peer takes dependency descriptors.
    #[inline]
    pub(crate) fn takes_descriptors(&self) -> bool {
        self.descriptor_id != 0
    }

    /// Whose media it carries from now on.
    pub(crate) fn set_contributor(&mut self, csrc: u32) {
        self.bytes[rtp::FIXED_BYTES..rtp::FIXED_BYTES + 4].copy_from_slice(&csrc.to_be_bytes());
    }

    /// Length in bytes with a descriptor of this length, 0 for none.
    #[inline]
    pub(crate) fn len(&self, descriptor_len: usize) -> usize {
        match descriptor_len {
            0 => self.len,
            _ if self.descriptor_id == 0 => self.len,
            _ if self.is_narrow(descriptor_len) => self.len + (1 + descriptor_len).next_multiple_of(4),
            _ => BLOCK_AT + (self.wide_bytes + 2 + descriptor_len).next_multiple_of(4),
        }
    }

    /// Whether a descriptor of this length is a one-byte element.
    #[inline]
    fn is_narrow(&self, descriptor_len: usize) -> bool {
        Form::OneByte.fits(self.descriptor_id, descriptor_len)
    }

    /// Appends the header with its holes filled.
    #[inline]
    pub(crate) fn write(&mut self, holes: Holes, descriptor: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let bytes = &mut self.bytes;
        bytes[0] = bytes[0] & !PADDING_BIT | if holes.padded { PADDING_BIT } else { 0 };
        bytes[1] = u8::from(holes.marker) << 7 | holes.pt & 0x7f;
        bytes[2..4].copy_from_slice(&holes.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&holes.timestamp.to_be_bytes());
        if self.transport_at != 0 {
            bytes[self.transport_at..self.transport_at + 2].copy_from_slice(&holes.transport.to_be_bytes());
        }
        if self.send_time_at != 0 {
            bytes[self.send_time_at..self.send_time_at + 3].copy_from_slice(&holes.send_time.to_be_bytes()[1..]);
        }
        if self.level_at != 0 {
            bytes[self.level_at] = holes.level.map_or(AudioLevel::SILENT, AudioLevel::to_byte);
        }
        if descriptor.is_empty() || self.descriptor_id == 0 {
            out.extend_from_slice(&self.bytes[..self.len]);
            return;
        }
        let end = start + self.len(descriptor.len());
        let form = if self.is_narrow(descriptor.len()) { Form::OneByte } else { Form::TwoByte };
        if form == Form::OneByte {
            out.extend_from_slice(&self.bytes[..self.len]);
            out.push(self.descriptor_id << 4 | (descriptor.len() - 1) as u8);
        } else {
            out.extend_from_slice(&self.bytes[..BLOCK_AT]);
            for element in self.elements() {
                out.extend_from_slice(&[element.id, element.data.len() as u8]);
                out.extend_from_slice(element.data);
            }
            out.extend_from_slice(&[self.descriptor_id, descriptor.len() as u8]);
        }
        out.extend_from_slice(descriptor);
        out.resize(end, 0);
        let words = ((end - start - BLOCK_AT) / 4) as u16;
        out[start + BLOCK_AT - 4..start + BLOCK_AT - 2].copy_from_slice(&form.profile().to_be_bytes());
        out[start + BLOCK_AT - 2..start + BLOCK_AT].copy_from_slice(&words.to_be_bytes());
    }

    fn elements(&self) -> ext::Elements<'_> {
        ext::Elements::new(Form::OneByte.profile(), self.bytes.get(BLOCK_AT..self.len).unwrap_or(&[]))
    }
}

/// Where the elements begin: behind the fixed part, one CSRC and the block's own header.
const BLOCK_AT: usize = rtp::FIXED_BYTES + 4 + 4;

/// The bit that says that padding follows the payload (RFC 3550 §5.1).
const PADDING_BIT: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_where_a_reader_finds_them() {
        let mut map = ext::Map::new();
        for (id, kind) in [(3, Kind::Mid), (5, Kind::TransportSequence), (2, Kind::AbsSendTime), (1, Kind::AudioLevel)]
        {
            map.set(id, kind);
        }
        let (mut low, mut high) = (map.clone(), map);
        low.set(12, Kind::DependencyDescriptor);
        high.set(17, Kind::DependencyDescriptor);
        let lengths = [0, 3, 5, 16, 17, 255];
        let mids = |len| [(len, "0", &low), (len, "a-mid-of-16-byte", &low), (len, "1", &high)];
        for (len, mid, map) in lengths.into_iter().flat_map(mids) {
            let descriptor: Vec<u8> = (1..=len as u8).collect();
            let mut template = Template::new(0xdead_beef, mid, map, true);
            template.set_contributor(77);
            let mut out = vec![9; 5];
            let level = AudioLevel { below_full: 33, voice: true };
            let holes = Holes {
                padded: false,
                marker: true,
                pt: 111,
                sequence: 65_530,
                timestamp: 7,
                transport: 40_000,
                send_time: 0x12_3456,
                level: Some(level),
            };
            template.write(holes, &descriptor, &mut out);
            out.drain(..5);
            out.extend(b"payload");
            let header = rtp::Header::parse(&out).unwrap();
            assert_eq!((header.marker, header.payload_type, header.sequence), (true, 111, 65_530));
            assert_eq!((header.timestamp, header.ssrc, header.len), (7, 0xdead_beef, template.len(len)));
            assert_eq!(header.csrcs(&out).collect::<Vec<_>>(), [77]);
            let known = map.read(header.extensions(&out));
            assert_eq!(known.mid, Some(mid));
            assert_eq!((known.transport_sequence, known.abs_send_time), (Some(40_000), Some(0x12_3456)));
            assert_eq!(known.audio_level, Some(level));
            assert_eq!(known.dependency_descriptor.unwrap_or(&[]), descriptor, "{len}");
        }
        let bare = Template::new(1, "0", &ext::Map::new(), false);
        assert_eq!((bare.len(0), bare.len(9)), (16, 16), "no extension, no block");
    }
}
