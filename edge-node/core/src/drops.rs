//! Every way a datagram can end at the shard's own door, and every way a participant can leave, counted.

macro_rules! reasons {
    ($(#[$type_doc:meta])* $type:ident, $counts:ident { $( $(#[$doc:meta])* $variant:ident => $name:literal, )* }) => {
        $(#[$type_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type {
            $( $(#[$doc])* $variant, )*
        }

        impl $type {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// Its name in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }

        /// How often each happened.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $counts([u64; $type::ALL.len()]);

        impl $counts {
            pub(crate) fn count(&mut self, reason: $type) {
                self.0[reason as usize] += 1;
            }

            pub(crate) fn iter(&self) -> impl Iterator<Item = ($type, u64)> + '_ {
                $type::ALL.iter().map(|reason| (*reason, self.0[*reason as usize]))
            }
        }
    };
}

pub(crate) use reasons;

reasons! {
    /// Why a datagram went no further than the demultiplexer.
    DoorDrop, DoorDrops {
        /// Its first byte belongs to no protocol of a media port, or it is empty.
        Noise => "noise",
        /// It begins like STUN and cannot be read.
        StunMalformed => "stun_malformed",
        /// A check names a user fragment that no peer here has (any more).
        UnknownUfrag => "unknown_ufrag",
        /// A STUN answer or indication from an address that no peer has been seen at.
        StunUnasked => "stun_unasked",
        /// DTLS from an address that passed no check.
        DtlsUnknown => "dtls_unknown",
        /// RTP or RTCP from an address that passed no check.
        MediaUnknown => "media_unknown",
        /// TURN is off here.
        TurnOff => "turn_off",
        /// A batch to a relayed address whose client has taken its permission away.
        RelayClosed => "relay_closed",
        /// TURN inside TURN.
        RelayNested => "relay_nested",
        /// A data-channel message: channels stand, and nothing of this version speaks on them.
        ChannelMessage => "channel_message",
        /// A link's message or datagram about a room that is not here (any more).
        LinkUnknownRoom => "link_unknown_room",
        /// Another shard's message or datagram about a room that is not here (any more), or finds no place.
        PartUnknownRoom => "part_unknown_room",
        /// A relayed datagram for, or from, a shard without TURN.
        RelayedAside => "relayed_aside",
    }
}

reasons! {
    /// Why a participant left.
    Departure, Departures {
        /// Said `leave`, or deleted its WHIP or WHEP resource.
        Left => "left",
        /// Its socket was cut and did not come back in time.
        SocketGone => "socket_gone",
        /// ICE or DTLS could not be set up.
        MediaFailed => "media_failed",
        /// It was not heard for too long (RFC 7675), or it closed DTLS.
        MediaLost => "media_lost",
        /// It broke the protocol or flooded its socket.
        Offended => "offended",
        /// An operator or host put it out.
        Kicked => "kicked",
        /// The node stops.
        Shutdown => "shutdown",
        /// A fault of ours while working for it.
        Evicted => "evicted",
    }
}

/// How often each refusal was said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(std::collections::BTreeMap<lyceum_wire::signal::Refusal, u64>);

impl Refusals {
    pub(crate) fn count(&mut self, code: lyceum_wire::signal::Refusal) {
        *self.0.entry(code).or_default() += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(code, count)| (refusal_name(*code), *count))
    }
}

fn refusal_name(code: lyceum_wire::signal::Refusal) -> &'static str {
    use lyceum_wire::signal::Refusal;
    match code {
        Refusal::BadToken => "bad_token",
        Refusal::ExpiredToken => "expired_token",
        Refusal::WrongRoom => "wrong_room",
        Refusal::NotAllowed => "not_allowed",
        Refusal::Malformed => "malformed",
        Refusal::BadOffer => "bad_offer",
        Refusal::TooLarge => "too_large",
        Refusal::TooMany => "too_many",
        Refusal::Full => "full",
        Refusal::Version => "version",
        Refusal::SessionGone => "session_gone",
        Refusal::MediaLost => "media_lost",
        Refusal::Absent => "absent",
        Refusal::Internal => "internal",
    }
}
