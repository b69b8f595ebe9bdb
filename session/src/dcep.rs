//! Data-channel establishment (RFC 8832): the two messages there are.

use crate::channel::{ChannelOptions, Reliability};
use bytes::{BufMut, Bytes, BytesMut};

/// Longest label or protocol taken, in bytes.
const TEXT_BYTES_MAX: usize = 256;
const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;
const UNORDERED: u8 = 0x80;

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dcep {
    /// DATA_CHANNEL_OPEN.
    Open(ChannelOptions),
    /// DATA_CHANNEL_ACK.
    Ack,
}

impl Dcep {
    /// Reads a message; `None` when it is not one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [ACK, ..] => Some(Self::Ack),
            [OPEN, kind, _, _, a, b, c, d, l0, l1, p0, p1, text @ ..] => {
                let amount = u32::from_be_bytes([*a, *b, *c, *d]);
                let reliability = match kind & !UNORDERED {
                    0 => Reliability::Reliable,
                    1 => Reliability::Retransmits(amount),
                    2 => Reliability::LifetimeMs(amount),
                    _ => return None,
                };
                let label_bytes = usize::from(u16::from_be_bytes([*l0, *l1]));
                let protocol_bytes = usize::from(u16::from_be_bytes([*p0, *p1]));
                let label = text.get(..label_bytes)?;
                let protocol = text.get(label_bytes..label_bytes + protocol_bytes)?;
                let read = |bytes: &[u8]| {
                    let text = std::str::from_utf8(bytes).ok()?;
                    (text.len() <= TEXT_BYTES_MAX).then(|| text.to_owned())
                };
                Some(Self::Open(ChannelOptions {
                    label: read(label)?,
                    protocol: read(protocol)?,
                    unordered: kind & UNORDERED != 0,
                    reliability,
                }))
            }
            _ => None,
        }
    }

    /// Writes the message. Labels and protocols beyond the bound are cut at a character.
    pub(crate) fn write(&self) -> Bytes {
        let Self::Open(options) = self else { return Bytes::from_static(&[ACK]) };
        let (kind, amount) = match options.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Retransmits(times) => (1, times),
            Reliability::LifetimeMs(ms) => (2, ms),
        };
        let (label, protocol) = (cut(&options.label), cut(&options.protocol));
        let mut out = BytesMut::with_capacity(12 + label.len() + protocol.len());
        out.put_u8(OPEN);
        out.put_u8(kind | if options.unordered { UNORDERED } else { 0 });
        // Priority "normal" (RFC 8831 §6.4).
        out.put_u16(256);
        out.put_u32(amount);
        out.put_u16(label.len() as u16);
        out.put_u16(protocol.len() as u16);
        out.put_slice(label.as_bytes());
        out.put_slice(protocol.as_bytes());
        out.freeze()
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_as_chromium_writes_it() {
        // label "room", ordered, reliable, priority 256.
        let golden = [3, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, b'r', b'o', b'o', b'm'];
        let open = Dcep::Open(ChannelOptions { label: "room".into(), ..ChannelOptions::default() });
        assert_eq!(Dcep::read(&golden), Some(open.clone()));
        assert_eq!(open.write(), &golden[..]);
    }

    #[test]
    fn every_reliability_round_trips() {
        for reliability in [Reliability::Reliable, Reliability::Retransmits(0), Reliability::LifetimeMs(500)] {
            for unordered in [false, true] {
                let open =
                    Dcep::Open(ChannelOptions { label: "ä".into(), protocol: "p".into(), unordered, reliability });
                assert_eq!(Dcep::read(&open.write()), Some(open));
            }
        }
        assert_eq!(Dcep::read(&Dcep::Ack.write()), Some(Dcep::Ack));
    }

    #[test]
    fn nonsense_is_refused() {
        let open = Dcep::Open(ChannelOptions { label: "room".into(), ..ChannelOptions::default() }).write();
        for end in 0..open.len() {
            assert_eq!(Dcep::read(&open[..end]), None, "cut at {end}");
        }
        for (name, at, byte) in [("type", 0, 9), ("kind", 1, 3), ("label length", 9, 200), ("not UTF-8", 12, 0xff)] {
            let mut bad = open.to_vec();
            bad[at] = byte;
            assert_eq!(Dcep::read(&bad), None, "{name}");
        }
    }
}
