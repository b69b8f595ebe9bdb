//! Both directions of one conversation are numbered, so that it outlives its socket.
//!
//! ```text
//!   to the client    1 2 3 4 5        kept until acknowledged, then forgotten
//!   socket cut             ✂
//!   hello {seen: 3}          4 5      said again on the new socket
//! ```

use super::saying::{Body, Saying};
use lyceum_wire::signal::{ClientSays, EdgeSays, ToEdge};
use std::collections::VecDeque;
use std::sync::Arc;

/// Messages kept for a client that has not acknowledged them: a class of 300 that talks, chats and comes and goes
/// makes about 10 a second, so this is well over `RESUME_MS`.
pub const REPLAY_MESSAGES_MAX: usize = 1024;
/// Bytes kept for a client that has not acknowledged them, as estimated by [`weight`]: 300 sessions stay under 300 MiB at the very worst.
pub const REPLAY_BYTES_MAX: usize = 1 << 20;

/// What the number of a client's message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next one.
    Next,
    /// Seen before the socket was cut.
    Repeat,
    /// One or more before it are missing, or it should not have (or lack) a number.
    OutOfTurn,
}

/// The numbers and the replay buffer of one client.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    /// Highest client message taken.
    seen: u64,
    /// What `seen` was when it was last acknowledged.
    acked: u64,
    /// Messages that could not be decoded: their numbers will be missing.
    garbled: u64,
    /// Last number given.
    said: u64,
    /// Said and not yet acknowledged, oldest first, with their weights.
    replay: VecDeque<(Saying, usize)>,
    replay_bytes: usize,
}

impl Numbering {
    /// Looks at a message from the client.
    pub(crate) fn take(&mut self, message: &ToEdge) -> Place {
        let unnumbered =
            matches!(message.body, ClientSays::Ack { .. } | ClientSays::Ping { .. } | ClientSays::Hello { .. });
        if unnumbered || message.seq == 0 {
            return if unnumbered && message.seq == 0 { Place::Next } else { Place::OutOfTurn };
        }
        let Some(missing) = message.seq.checked_sub(self.seen + 1) else {
            return Place::Repeat;
        };
        if missing > self.garbled {
            return Place::OutOfTurn;
        }
        self.garbled -= missing;
        self.seen = message.seq;
        Place::Next
    }

    /// A message came that nobody could read.
    pub(crate) fn take_garbled(&mut self) {
        self.garbled += 1;
    }

    /// Highest client message taken.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Gives the message its number and keeps it until it is acknowledged.
    pub(crate) fn number(&mut self, body: Arc<Body>) -> Saying {
        self.said += 1;
        let message = Saying { seq: self.said, body };
        let bytes = weight(message.body.says());
        self.replay.push_back((message.clone(), bytes));
        self.replay_bytes += bytes;
        while self.replay.len() > REPLAY_MESSAGES_MAX || self.replay_bytes > REPLAY_BYTES_MAX {
            self.forget_first();
        }
        message
    }

    /// The client has everything up to `seen`. False: it cannot have.
    pub(crate) fn acknowledged(&mut self, seen: u64) -> bool {
        if seen > self.said {
            return false;
        }
        while self.replay.front().is_some_and(|(message, _)| message.seq <= seen) {
            self.forget_first();
        }
        true
    }

    /// What a client that has seen `seen` has missed; `None` when some of that is no longer kept.
    pub(crate) fn resume(&mut self, seen: u64) -> Option<Vec<Saying>> {
        let oldest = self.said + 1 - self.replay.len() as u64;
        if seen + 1 < oldest || !self.acknowledged(seen) {
            return None;
        }
        self.acked = self.seen;
        Some(self.replay.iter().map(|(message, _)| message.clone()).collect())
    }

    /// What to acknowledge to the client, if anything is new.
    pub(crate) fn ack(&mut self) -> Option<u64> {
        (self.acked != self.seen).then(|| {
            self.acked = self.seen;
            self.seen
        })
    }

    fn forget_first(&mut self) {
        if let Some((_, bytes)) = self.replay.pop_front() {
            self.replay_bytes -= bytes;
        }
    }
}

/// About how many bytes a message takes in memory.
fn weight(body: &EdgeSays) -> usize {
    const EACH: usize = 128;
    EACH + match body {
        EdgeSays::Answer { sdp } => sdp.len(),
        EdgeSays::Roster { present, gone, .. } => (3 * present.len() + gone.len()) * EACH,
        EdgeSays::Message { message } => EACH + value_weight(&message.body),
        EdgeSays::Slots { assigned } => assigned.len() * EACH,
        EdgeSays::Speakers { active } => active.len() * EACH,
        EdgeSays::Paths { paths } => paths.len() * 3 * EACH,
        EdgeSays::Demand { watched, .. } => watched.len() * EACH,
        _ => 0,
    }
}

/// About how many bytes a JSON value takes in memory.
pub(crate) fn value_weight(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + value_weight(value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_client(seq: u64) -> ToEdge {
        ToEdge { seq, body: ClientSays::Leave }
    }

    fn speakers() -> Arc<Body> {
        Body::new(EdgeSays::Speakers { active: Vec::new() })
    }

    #[test]
    fn client_numbers_rise_by_one_and_repeats_are_known() {
        let mut line = Numbering::default();
        let table = [
            (1, Place::Next),
            (2, Place::Next),
            (2, Place::Repeat),
            (1, Place::Repeat),
            (4, Place::OutOfTurn),
            (0, Place::OutOfTurn),
            (3, Place::Next),
            (u64::MAX, Place::OutOfTurn),
        ];
        for (seq, place) in table {
            assert_eq!(line.take(&from_client(seq)), place, "number {seq}");
        }
        assert_eq!(line.take(&ToEdge { seq: 0, body: ClientSays::Ack { seen: 0 } }), Place::Next);
        assert_eq!(line.take(&ToEdge { seq: 4, body: ClientSays::Ping { t: 0.0 } }), Place::OutOfTurn);
        assert_eq!(line.ack(), Some(3));
        assert_eq!(line.ack(), None, "acknowledged once");
    }

    #[test]
    fn a_garbled_message_leaves_a_hole_of_one() {
        let mut line = Numbering::default();
        assert_eq!(line.take(&from_client(1)), Place::Next);
        line.take_garbled();
        assert_eq!(line.take(&from_client(3)), Place::Next);
        assert_eq!(line.take(&from_client(5)), Place::OutOfTurn);
    }

    #[test]
    fn what_was_not_seen_is_said_again() {
        let mut line = Numbering::default();
        for _ in 0..5 {
            line.number(speakers());
        }
        assert!(line.acknowledged(2));
        assert!(!line.acknowledged(6), "nobody has seen what was not said");
        let again = line.resume(3).unwrap();
        assert_eq!(again.iter().map(|m| m.seq).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(line.resume(1), None, "2 and 3 were acknowledged and are gone");
        assert_eq!(line.resume(6), None);
        assert_eq!(line.resume(5), Some(Vec::new()));
    }

    #[test]
    fn the_replay_buffer_is_bounded_in_messages_and_bytes() {
        let mut line = Numbering::default();
        for _ in 0..REPLAY_MESSAGES_MAX + 10 {
            line.number(speakers());
        }
        assert_eq!(line.replay.len(), REPLAY_MESSAGES_MAX);
        assert_eq!(line.resume(9), None, "too far behind");
        assert_eq!(line.resume(10).map(|m| m.len()), Some(REPLAY_MESSAGES_MAX));
        for _ in 0..8 {
            line.number(Body::new(EdgeSays::Answer { sdp: "x".repeat(REPLAY_BYTES_MAX / 4) }));
        }
        assert!(line.replay.len() <= 4 && line.replay_bytes <= REPLAY_BYTES_MAX);
    }
}
