//! Numbered signaling from the client's side: what the edge has not seen is sent again after a cut.

use lyceum_wire::signal::{ClientSays, EdgeSays, Resume, ToClient, ToEdge, VERSION};
use std::collections::VecDeque;

/// Messages that may wait for the edge's acknowledgement. An honest edge acknowledges long before.
const UNSEEN_MESSAGES_MAX: usize = 512;

/// One session's numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    token: String,
    session: Option<String>,
    sent: u64,
    unseen: VecDeque<ToEdge>,
    seen: u64,
    acked: u64,
}

impl Numbering {
    /// A session that is still to be made with this token.
    #[must_use]
    pub(crate) fn new(token: String) -> Self {
        Self { token, ..Self::default() }
    }

    /// The first message on a new socket.
    #[must_use]
    pub(crate) fn hello(&self) -> ToEdge {
        let resume = self.session.clone().map(|session| Resume { session, seen: self.seen });
        ToEdge { seq: 0, body: ClientSays::Hello { version: VERSION, token: self.token.clone(), resume } }
    }

    /// Numbers a message and keeps it until it is acknowledged.
    pub(crate) fn say(&mut self, body: ClientSays) -> ToEdge {
        self.sent += 1;
        let message = ToEdge { seq: self.sent, body };
        self.unseen.push_back(message.clone());
        if self.unseen.len() > UNSEEN_MESSAGES_MAX {
            self.unseen.pop_front();
        }
        message
    }

    /// Takes an edge's message in; `None`: it came before.
    pub(crate) fn hear(&mut self, message: ToClient) -> Option<EdgeSays> {
        match &message.body {
            EdgeSays::Welcome { session, seen, resumed, .. } => {
                self.session = Some(session.clone());
                if !resumed {
                    self.seen = 0;
                    self.acked = 0;
                }
                self.forget(*seen);
            }
            EdgeSays::Ack { seen } => self.forget(*seen),
            _ => {}
        }
        if message.seq > 0 {
            if message.seq <= self.seen {
                return None;
            }
            self.seen = message.seq;
        }
        Some(message.body)
    }

    /// What the edge has not acknowledged, to be sent again after a resumed `welcome`.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &ToEdge> {
        self.unseen.iter()
    }

    /// An acknowledgement, if the edge is owed one.
    pub(crate) fn ack(&mut self) -> Option<ToEdge> {
        if self.seen == self.acked {
            return None;
        }
        self.acked = self.seen;
        Some(ToEdge { seq: 0, body: ClientSays::Ack { seen: self.seen } })
    }

    fn forget(&mut self, seen: u64) {
        while self.unseen.front().is_some_and(|message| message.seq <= seen) {
            self.unseen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_cut_only_what_was_not_seen_is_said_again_and_nothing_is_heard_twice() {
        let mut numbers = Numbering::new("t".into());
        for _ in 0..3 {
            numbers.say(ClientSays::Leave);
        }
        assert!(numbers.hear(ToClient { seq: 0, body: EdgeSays::Ack { seen: 2 } }).is_some());
        assert_eq!(numbers.unseen().map(|message| message.seq).collect::<Vec<_>>(), [3]);
        let speakers = ToClient { seq: 1, body: EdgeSays::Speakers { active: Vec::new() } };
        assert!(numbers.hear(speakers.clone()).is_some());
        assert!(numbers.hear(speakers).is_none());
        assert!(matches!(numbers.ack(), Some(ToEdge { seq: 0, body: ClientSays::Ack { seen: 1 } })));
        assert!(numbers.ack().is_none());
    }
}
