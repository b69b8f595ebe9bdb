//! What a hop counts.

macro_rules! losses {
    ($( $(#[$doc:meta])* $variant:ident => $name:literal, )*) => {
        /// Why something on a link went no further.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Loss {
            $( $(#[$doc])* $variant, )*
        }

        impl Loss {
            /// All reasons, in the order of their counts.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// Its name in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

losses! {
    // Datagrams in.
    /// Not a datagram of this protocol.
    Malformed => "malformed",
    /// Under an alias this hop has not given out, or to another node: what was still under way after an unsubscribe.
    UnknownAlias => "unknown_alias",
    /// The same packet again.
    Duplicate => "duplicate",
    /// From before the subscription began, or older than all that is remembered.
    TooOld => "too_old",
    /// A part of a packet whose other parts did not come.
    PartsMissing => "parts_missing",
    /// Missing, and its repair did not come in time or in a few asks.
    NotRepaired => "not_repaired",
    /// Missing in a gap larger than is repaired.
    GapTooWide => "gap_too_wide",
    // Datagrams out.
    /// Too old for anybody downstream to play.
    TooLate => "too_late",
    /// More for one link in one turn than is kept.
    QueueFull => "queue_full",
    /// Larger than the link's datagrams even in parts.
    TooLarge => "too_large",
    /// Asked for again, and no longer in the cache.
    NotInCache => "not_in_cache",
    /// Asked for again, but this subscription never carries it.
    NotSubscribed => "not_subscribed",
    // Messages in.
    /// A track whose hop list names this node.
    WouldLoop => "would_loop",
    /// A track whose hop list is empty, too long or does not end with the sender.
    BadHops => "bad_hops",
    /// More tracks, subscriptions or people than one room may have.
    TooMany => "too_many",
    /// A person whose edge is not the sender.
    NotTheirEdge => "not_their_edge",
    /// A change of grants on behalf of somebody who does not moderate.
    NotModerator => "not_moderator",
    /// A subscription to what this node does not announce to that link.
    NotServed => "not_served",
    /// A post to a node that is not the room's home.
    NotHome => "not_home",
    /// Room messages from a node that has no say in their order.
    NotFromHome => "not_from_home",
    /// A post whose number was given out already.
    PostedAlready => "posted_already",
    /// Numbers given out twice, by two homes at the same time: the newer home's are kept, the others are posted again.
    OrderConflict => "order_conflict",
    /// Room messages that nobody keeps any more.
    MessagesGone => "messages_gone",
    /// A room message of a link that has not opened the room.
    NotOpen => "not_open",
}

/// Counters of one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Media datagrams from links.
    pub datagrams_in: u64,
    /// Media datagrams to links.
    pub datagrams_out: u64,
    /// Bytes of media datagrams from links.
    pub bytes_in: u64,
    /// Bytes of media datagrams to links.
    pub bytes_out: u64,
    /// Media datagrams from other parts of the room on this node.
    pub part_datagrams_in: u64,
    /// Media datagrams to other parts of the room on this node.
    pub part_datagrams_out: u64,
    /// Packets asked for again upstream, each ask counted.
    pub asked: u64,
    /// Missing packets that came after all.
    pub repaired: u64,
    /// Packets sent again for a downstream.
    pub repairs_sent: u64,
    /// Key-frame wishes sent upstream.
    pub key_frames_asked: u64,
    /// Pages of the roster made for other nodes.
    pub roster_messages: u64,
    /// Entries in them.
    pub roster_entries: u64,
    losses: [u64; Loss::ALL.len()],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            datagrams_in: 0,
            datagrams_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            part_datagrams_in: 0,
            part_datagrams_out: 0,
            asked: 0,
            repaired: 0,
            repairs_sent: 0,
            key_frames_asked: 0,
            roster_messages: 0,
            roster_entries: 0,
            losses: [0; Loss::ALL.len()],
        }
    }
}

impl Stats {
    /// Counts `n` of one reason.
    pub(crate) fn lose(&mut self, reason: Loss, n: u64) {
        if let Some(count) = self.losses.get_mut(reason as usize) {
            *count += n;
        }
    }

    /// How often a reason struck.
    #[must_use]
    pub fn lost(&self, reason: Loss) -> u64 {
        self.losses.get(reason as usize).copied().unwrap_or(0)
    }

    /// All reasons with their counts, in a fixed order.
    pub fn losses(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.iter().map(|reason| (*reason, self.lost(*reason)))
    }

    /// Adds another hop's counts to these.
    pub fn merge(&mut self, other: &Self) {
        self.datagrams_in += other.datagrams_in;
        self.datagrams_out += other.datagrams_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.part_datagrams_in += other.part_datagrams_in;
        self.part_datagrams_out += other.part_datagrams_out;
        self.asked += other.asked;
        self.repaired += other.repaired;
        self.repairs_sent += other.repairs_sent;
        self.key_frames_asked += other.key_frames_asked;
        self.roster_messages += other.roster_messages;
        self.roster_entries += other.roster_entries;
        for (mine, theirs) in self.losses.iter_mut().zip(other.losses) {
            *mine += theirs;
        }
    }
}
