//! A bot's SRTP: plain packets and reports in, sealed datagrams out.

use crate::player::{Header, Outlet};
use bytes::Bytes;
use lyceum_media::srtp::{Keys, Outbound, Profile, SrtpError};
use lyceum_session::{SrtpKey, SrtpProfile};
use lyceum_wire::{ext, rtp};
use std::collections::VecDeque;
use std::time::Instant;

/// Largest datagram a bot writes, in bytes.
const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Keys as `media` wants them, from keys as `session` gives them.
#[must_use]
pub fn keys(profile: SrtpProfile, key: &SrtpKey) -> Keys {
    let profile = match profile {
        SrtpProfile::AeadAes128Gcm => Profile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => Profile::AeadAes256Gcm,
        SrtpProfile::Aes128CmSha1_80 => Profile::Aes128CmSha1_80,
    };
    Keys { profile, key: key.key.clone(), salt: key.salt.clone() }
}

/// Seals what the bot sends.
pub struct Outgoing {
    srtp: Outbound,
    transport_sequence: u16,
    zero: Instant,
    now: Instant,
    ready: VecDeque<Bytes>,
    /// Packets that could not be written or sealed: zero in an honest run.
    failed: u64,
}

impl Outgoing {
    /// From this side's keys; abs-send-time counts from `zero`.
    pub fn new(keys: &Keys, zero: Instant) -> Result<Self, SrtpError> {
        Ok(Self {
            srtp: Outbound::new(keys)?,
            transport_sequence: 1,
            zero,
            now: zero,
            ready: VecDeque::new(),
            failed: 0,
        })
    }

    /// The time of what is written next.
    pub fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// Seals a plain RTCP compound.
    pub fn rtcp(&mut self, compound: &[u8]) {
        let mut datagram = compound.to_vec();
        match self.srtp.protect_rtcp(&mut datagram) {
            Ok(()) => self.ready.push_back(datagram.into()),
            Err(_) => self.failed += 1,
        }
    }

    /// The next sealed datagram.
    pub fn poll(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Packets that could not be written or sealed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    fn write(&mut self, header: Header<'_>, payload: [&[u8]; 2]) -> Result<Vec<u8>, rtp::Full> {
        let mut packet = vec![0; DATAGRAM_BYTES_MAX];
        let mut writer = rtp::Writer::start(&mut packet, header.fields, &[], ext::Form::OneByte)?;
        let ids = &header.spec.extensions;
        let mut put = |kind: ext::Kind, data: &[u8]| match ids.id(kind) {
            Some(id) => writer.extension(id, data),
            None => Ok(()),
        };
        put(ext::Kind::Mid, header.spec.mid.as_bytes())?;
        if let Some(rid) = &header.spec.rid {
            put(if header.repair { ext::Kind::RepairedRid } else { ext::Kind::Rid }, rid.as_bytes())?;
        }
        if let Some(level) = header.level {
            put(ext::Kind::AudioLevel, &[level.to_byte()])?;
        }
        let micros = self.now.saturating_duration_since(self.zero).as_micros() as u64;
        put(ext::Kind::AbsSendTime, &ext::abs_send_time(micros).to_be_bytes()[1..])?;
        put(ext::Kind::TransportSequence, &self.transport_sequence.to_be_bytes())?;
        let len = writer.finish()?;
        packet.truncate(len);
        for piece in payload {
            packet.extend_from_slice(piece);
        }
        Ok(packet)
    }
}

impl Outlet for Outgoing {
    fn packet(&mut self, header: Header<'_>, payload: [&[u8]; 2]) {
        let sealed = self.write(header, payload).ok().filter(|packet| packet.len() <= DATAGRAM_BYTES_MAX);
        let sealed = sealed.and_then(|mut packet| self.srtp.protect(&mut packet).ok().map(|()| packet));
        match sealed {
            Some(packet) => {
                self.transport_sequence = self.transport_sequence.wrapping_add(1);
                self.ready.push_back(packet.into());
            }
            None => self.failed += 1,
        }
    }
}
