//! The numbers of a session's messages: what was said and may have to be said again, what was heard.
//!
//! Both sides number from 1. A socket that breaks loses nothing: each side says again what the other has not seen
//! (`docs/protocol/signal.md`, "Numbers" and "Resuming").

use lyceum_wire::signal::{ClientSays, ToEdge};
use std::collections::VecDeque;

/// Messages kept for saying again. An edge acknowledges within 200 ms; a client that says a thousand things in a cut of
/// 30 s is broken.
pub(crate) const UNACKNOWLEDGED_MAX: usize = 1_024;

/// Numbers of one session.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    said: u64,
    unacknowledged: VecDeque<ToEdge>,
    seen: u64,
}

/// What a heard number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The next one, or one without a number: act on it.
    New,
    /// Heard before.
    Again,
    /// Something before it is missing: the session cannot go on.
    Gap,
}

/// Too much was said that nobody acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edge acknowledges nothing any more")]
pub(crate) struct Deaf;

impl Numbers {
    /// Numbers a message and keeps it until it is acknowledged.
    pub(crate) fn say(&mut self, body: ClientSays) -> Result<ToEdge, Deaf> {
        if self.unacknowledged.len() == UNACKNOWLEDGED_MAX {
            return Err(Deaf);
        }
        self.said += 1;
        let message = ToEdge { seq: self.said, body };
        self.unacknowledged.push_back(message.clone());
        Ok(message)
    }

    /// The edge has seen everything up to here.
    pub(crate) fn acknowledged(&mut self, seen: u64) {
        while self.unacknowledged.front().is_some_and(|message| message.seq <= seen) {
            self.unacknowledged.pop_front();
        }
    }

    /// A message came with this number.
    pub(crate) fn heard(&mut self, seq: u64) -> Heard {
        match seq {
            0 => Heard::New,
            _ if seq == self.seen + 1 => {
                self.seen = seq;
                Heard::New
            }
            _ if seq <= self.seen => Heard::Again,
            _ => Heard::Gap,
        }
    }

    /// The number said last.
    pub(crate) fn said(&self) -> u64 {
        self.said
    }

    /// Highest number heard without a gap.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// What has to be said again after the edge said that it has seen everything up to here.
    pub(crate) fn again(&mut self, seen: u64) -> Vec<ToEdge> {
        self.acknowledged(seen);
        self.unacknowledged.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(numbers: &mut Numbers) -> u64 {
        numbers.say(ClientSays::Leave).unwrap().seq
    }

    #[test]
    fn after_a_cut_exactly_what_was_not_seen_is_said_again() {
        let mut numbers = Numbers::default();
        for wanted in 1..=5 {
            assert_eq!(say(&mut numbers), wanted);
        }
        numbers.acknowledged(2);
        let again: Vec<u64> = numbers.again(3).iter().map(|message| message.seq).collect();
        assert_eq!(again, [4, 5], "with their old numbers");
        assert_eq!(say(&mut numbers), 6);
        numbers.acknowledged(1);
        assert_eq!(numbers.again(3).len(), 3, "an old acknowledgement takes nothing back");
    }

    #[test]
    fn what_comes_twice_is_acted_on_once_and_a_gap_is_noticed() {
        let mut numbers = Numbers::default();
        let play =
            [(1, Heard::New), (2, Heard::New), (2, Heard::Again), (1, Heard::Again), (0, Heard::New), (4, Heard::Gap)];
        for (seq, wanted) in play {
            assert_eq!(numbers.heard(seq), wanted, "{seq}");
        }
        assert_eq!(numbers.seen(), 2);
        assert_eq!(numbers.heard(3), Heard::New);
    }

    #[test]
    fn a_deaf_edge_does_not_fill_our_memory() {
        let mut numbers = Numbers::default();
        for _ in 0..UNACKNOWLEDGED_MAX {
            say(&mut numbers);
        }
        assert_eq!(numbers.say(ClientSays::Leave), Err(Deaf));
        numbers.acknowledged(1);
        assert!(numbers.say(ClientSays::Leave).is_ok());
    }
}
