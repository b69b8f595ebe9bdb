//! Every way a datagram or message can end early in a session, counted.

/// Why something was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Neither STUN nor DTLS: it should not have been given to the session.
    NotOurs,
    /// Looks like STUN but cannot be read.
    StunMalformed,
    /// A STUN message whose FINGERPRINT is missing or wrong.
    StunFingerprint,
    /// A binding request for another user name than `local:remote` of a live ICE generation.
    StunUser,
    /// A STUN message whose MESSAGE-INTEGRITY is missing or wrong.
    StunIntegrity,
    /// A STUN method or class that has no meaning here.
    StunUnexpected,
    /// A STUN response that answers no open request.
    StunUnasked,
    /// A STUN error response.
    StunError,
    /// A check from one more address than [`crate::ice::PAIRS_MAX`].
    PairsFull,
    /// DTLS from an address that has not passed a check.
    DtlsUnchecked,
    /// DTLS records that cannot be read.
    DtlsMalformed,
    /// More handshake bytes than a handshake needs.
    DtlsTooMuch,
    /// Anything after the session ended.
    AfterEnd,
    /// Application data before the peer's certificate was proven, or without SCTP in the SDP.
    DataUnasked,
    /// An SCTP packet that cannot be read or belongs to no association.
    SctpMalformed,
    /// A data channel beyond [`crate::Session::CHANNELS_MAX`].
    ChannelsFull,
    /// A data-channel control message (RFC 8832) that cannot be read.
    DcepMalformed,
    /// A message on a stream nobody opened.
    ChannelUnknown,
    /// A message longer than [`crate::Session::MESSAGE_BYTES_MAX`].
    MessageTooLong,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [Self; 19] = [
        Self::NotOurs,
        Self::StunMalformed,
        Self::StunFingerprint,
        Self::StunUser,
        Self::StunIntegrity,
        Self::StunUnexpected,
        Self::StunUnasked,
        Self::StunError,
        Self::PairsFull,
        Self::DtlsUnchecked,
        Self::DtlsMalformed,
        Self::DtlsTooMuch,
        Self::AfterEnd,
        Self::DataUnasked,
        Self::SctpMalformed,
        Self::ChannelsFull,
        Self::DcepMalformed,
        Self::ChannelUnknown,
        Self::MessageTooLong,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::StunMalformed => "stun_malformed",
            Self::StunFingerprint => "stun_fingerprint",
            Self::StunUser => "stun_user",
            Self::StunIntegrity => "stun_integrity",
            Self::StunUnexpected => "stun_unexpected",
            Self::StunUnasked => "stun_unasked",
            Self::StunError => "stun_error",
            Self::PairsFull => "pairs_full",
            Self::DtlsUnchecked => "dtls_unchecked",
            Self::DtlsMalformed => "dtls_malformed",
            Self::DtlsTooMuch => "dtls_too_much",
            Self::AfterEnd => "after_end",
            Self::DataUnasked => "data_unasked",
            Self::SctpMalformed => "sctp_malformed",
            Self::ChannelsFull => "channels_full",
            Self::DcepMalformed => "dcep_malformed",
            Self::ChannelUnknown => "channel_unknown",
            Self::MessageTooLong => "message_too_long",
        }
    }
}

/// How often each [`DropReason`] happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drops([u32; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        let slot = &mut self.0[reason as usize];
        *slot = slot.saturating_add(1);
    }

    /// How often `reason` happened.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u32 {
        self.0[reason as usize]
    }

    /// All reasons that happened at least once.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.of(reason))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        for (place, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
