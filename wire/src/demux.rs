//! What a datagram on a media port is, told by its first bytes (RFC 7983 §7, RFC 5761 §4).

/// One of the protocols that share a media port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// STUN or TURN message: first byte 0–3.
    Stun,
    /// DTLS record: 20–63.
    Dtls,
    /// TURN ChannelData: 64–79, and up to 127 from clients of RFC 5766 (see [`crate::turn::CHANNEL_MAX`]).
    Channel,
    /// RTP, most likely SRTP: 128–191, and the second byte outside 192–223.
    Rtp,
    /// RTCP, most likely SRTCP: 128–191, and the second byte in 192–223.
    Rtcp,
}

impl Class {
    /// Tells the class, or `None` for an empty datagram and for bytes no protocol of ours starts with (ZRTP, noise).
    #[must_use]
    #[inline]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match *datagram.first()? {
            0..=3 => Some(Self::Stun),
            20..=63 => Some(Self::Dtls),
            64..=127 => Some(Self::Channel),
            128..=191 => match datagram.get(1) {
                Some(192..=223) => Some(Self::Rtcp),
                _ => Some(Self::Rtp),
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_protocol() {
        let table: &[(&[u8], Option<Class>)] = &[
            (&[], None),
            (&[0x00, 0x01], Some(Class::Stun)),
            (&[0x01, 0x13], Some(Class::Stun)),
            (&[3], Some(Class::Stun)),
            (&[4], None),
            (&[16], None),
            (&[19], None),
            (&[20, 254, 253], Some(Class::Dtls)),
            (&[22, 254, 255], Some(Class::Dtls)),
            (&[63], Some(Class::Dtls)),
            (&[0x40, 0x00], Some(Class::Channel)),
            (&[0x4f, 0xff], Some(Class::Channel)),
            (&[0x50], Some(Class::Channel)),
            (&[127], Some(Class::Channel)),
            (&[0x80], Some(Class::Rtp)),
            (&[0x80, 96], Some(Class::Rtp)),
            (&[0x80, 0x80 | 96], Some(Class::Rtp)),
            (&[0x80, 0x80 | 63], Some(Class::Rtp)),
            (&[0x81, 200], Some(Class::Rtcp)),
            (&[0x8f, 205], Some(Class::Rtcp)),
            (&[0xbf, 223], Some(Class::Rtcp)),
            (&[0x81, 224], Some(Class::Rtp)),
            (&[192], None),
            (&[255], None),
        ];
        for (bytes, class) in table {
            assert_eq!(Class::of(bytes), *class, "{bytes:?}");
        }
    }
}
