//! What must always hold, checked on the way and at the end.

use lyceum_wire::demux::Class;
use lyceum_wire::id::NodeId;
use lyceum_wire::link::Alias;
use lyceum_wire::link::datagram::Datagram;
use lyceum_wire::rtp;
use lyceum_wire::signal::RoomMessage;
use std::collections::{BTreeMap, BTreeSet};

/// Faults kept in words; more are only counted.
const WORDS_MAX: usize = 20;

/// Everything found wrong, and what is needed to find it.
#[derive(Debug, Default)]
pub struct Findings {
    wrong: Vec<String>,
    count: u64,
    /// Media numbers that have crossed a link under an alias: each crosses once, but for repairs.
    crossed: BTreeMap<(NodeId, NodeId, Alias), BTreeSet<u64>>,
    /// Numbers sent to each bot, by source: each once, for a repair has a source and a number of its own.
    left: BTreeMap<(usize, u32), BTreeSet<u16>>,
    /// The one order of messages, by room as its first hearer had it.
    order: BTreeMap<String, BTreeMap<u64, RoomMessage>>,
    /// Media datagrams that crossed links.
    pub link_media: u64,
    /// Repairs that crossed links.
    pub link_repairs: u64,
    /// Requests for repair that crossed links.
    pub link_nacks: u64,
}

impl Findings {
    /// Notes a fault.
    pub fn wrong(&mut self, words: String) {
        self.count += 1;
        if self.wrong.len() < WORDS_MAX {
            self.wrong.push(words);
        }
    }

    /// What was found wrong, in words; empty: everything held.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.wrong
    }

    /// A datagram is put on a link: no number twice under one alias, unless it says that it is a repair.
    pub(crate) fn crosses(&mut self, from: &NodeId, to: &NodeId, bytes: &[u8]) {
        match Datagram::parse(bytes) {
            Ok(Datagram::Rtp { header, .. }) => {
                if header.flags.repair {
                    self.link_repairs += 1;
                    return;
                }
                self.link_media += 1;
                let seen = self.crossed.entry((from.clone(), to.clone(), header.alias)).or_default();
                if !seen.insert(header.sequence) {
                    let (alias, sequence) = (header.alias, header.sequence);
                    self.wrong(format!("{from} sent {sequence} of {alias:?} to {to} twice"));
                }
            }
            Ok(Datagram::Fragment { .. }) => self.link_media += 1,
            Ok(Datagram::Nack(_)) => self.link_nacks += 1,
            Err(error) => self.wrong(format!("{from} sent {to} what is no link datagram: {error}")),
        }
    }

    /// A datagram leaves for a bot: no number twice from one source.
    pub(crate) fn leaves(&mut self, bot: usize, bytes: &[u8]) {
        if Class::of(bytes) != Some(Class::Rtp) {
            return;
        }
        match rtp::Header::parse(bytes) {
            Ok(header) => {
                if !self.left.entry((bot, header.ssrc)).or_default().insert(header.sequence) {
                    self.wrong(format!("bot {bot} was sent {} of {:x} twice", header.sequence, header.ssrc));
                }
            }
            Err(error) => self.wrong(format!("bot {bot} was sent what is no RTP: {error}")),
        }
    }

    /// A bot heard messages: everybody's run is a run of one order, without a gap and without a repeat.
    pub(crate) fn heard(&mut self, bot: usize, room: &str, last: &mut u64, messages: Vec<RoomMessage>) {
        for message in messages {
            let expected = *last + 1;
            // A late joiner's run begins where its history does.
            if message.number != expected && *last != 0 {
                self.wrong(format!("bot {bot} heard message {} after {last}", message.number));
            }
            *last = message.number;
            let order = self.order.entry(room.to_owned()).or_default();
            match order.get(&message.number) {
                Some(known) if *known != message => {
                    let (number, id, other) = (message.number, message.id.clone(), known.id.clone());
                    self.wrong(format!("message {number} is {id} for bot {bot} and {other} for another"));
                }
                Some(_) => {}
                None => {
                    let twice = order.values().any(|known| known.id == message.id && known.from == message.from);
                    let words = twice.then(|| format!("{} of {} was posted twice", message.id, message.from));
                    order.insert(message.number, message);
                    words.into_iter().for_each(|words| self.wrong(words));
                }
            }
        }
    }

    /// How many messages the room's one order has.
    #[must_use]
    pub fn messages(&self, room: &str) -> u64 {
        self.order.get(room).map_or(0, |order| order.len() as u64)
    }
}
