//! Where a link's traffic belongs: which shard of this node, which hop of the shard.
//!
//! An [`Alias`] is chosen by the receiver, who puts the address of its own state into it:
//!
//! ```text
//!   31      24 23          12 11           0
//!   ┌─────────┬──────────────┬──────────────┐
//!   │ shard   │ hop's slot   │ subscription │
//!   └─────────┴──────────────┴──────────────┘
//! ```

use lyceum_wire::id::RoomId;
use lyceum_wire::link::datagram::Datagram;
use lyceum_wire::link::{Alias, Message};

/// Shards a node may have: the top 8 bits of an alias.
pub const SHARDS_MAX: usize = 256;
/// Rooms one shard may hop at the same time: 12 bits of an alias.
pub const SLOTS_MAX: u16 = 1 << 12;
/// Layers one room may be subscribed to upstream at the same time: 12 bits of an alias.
pub const SUBSCRIPTIONS_MAX: u16 = 1 << 12;

/// The alias of one subscription of one hop.
#[must_use]
pub fn alias(shard: u8, slot: u16, subscription: u16) -> Alias {
    Alias(
        u32::from(shard) << 24
            | u32::from(slot & (SLOTS_MAX - 1)) << 12
            | u32::from(subscription & (SUBSCRIPTIONS_MAX - 1)),
    )
}

/// The hop's place in its shard, out of an alias it made.
#[must_use]
pub fn slot(alias: Alias) -> u16 {
    (alias.0 >> 12) as u16 & (SLOTS_MAX - 1)
}

/// The subscription's place in its hop, out of an alias it made.
#[must_use]
pub fn subscription(alias: Alias) -> u16 {
    alias.0 as u16 & (SUBSCRIPTIONS_MAX - 1)
}

/// Where a datagram belongs on its shard; which shard says [`lyceum_wire::link::datagram::shard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Media under one of this node's own aliases.
    Alias(Alias),
    /// A repair request about a room, by [`RoomId::key`].
    Room(u64),
}

/// Where a datagram belongs. `None`: it is none of this protocol.
#[must_use]
pub fn destination(datagram: &[u8]) -> Option<To> {
    match Datagram::parse(datagram).ok()? {
        Datagram::Rtp { header, .. } | Datagram::Fragment { header, .. } => Some(To::Alias(header.alias)),
        Datagram::Nack(nack) => Some(To::Room(nack.room_key)),
    }
}

/// The room a message is about; `None` for `Hello` and for what a newer version says.
#[must_use]
pub fn room(message: &Message) -> Option<&RoomId> {
    match message {
        Message::RoomOpen { room, .. }
        | Message::RoomClose { room }
        | Message::Roster { room, .. }
        | Message::Announce { room, .. }
        | Message::Unannounce { room, .. }
        | Message::Subscribe { room, .. }
        | Message::Unsubscribe { room, .. }
        | Message::KeyFrame { room, .. }
        | Message::Clock { room, .. }
        | Message::Grant { room, .. }
        | Message::Granted { room, .. }
        | Message::Post { room, .. }
        | Message::Posted { room, .. } => Some(room),
        Message::Hello { .. } | Message::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_leads_back_to_shard_slot_and_subscription() {
        for (shard, slot_, subscription_) in [(0, 0, 0), (255, 4095, 4095), (3, 1, 4095), (1, 4095, 0)] {
            let made = alias(shard, slot_, subscription_);
            assert_eq!(made.shard(), usize::from(shard));
            assert_eq!((slot(made), subscription(made)), (slot_, subscription_));
        }
    }
}
