//! What must always hold, checked on the way and at the end.
//!
//! - On a link: no number twice under an alias but as a repair; nothing that is no datagram of the protocol; a track never goes
//!   to a node it has passed; a node speaks of its own people only.
//! - To a viewer: no number twice from one source, and no gap that nothing was lost for; pictures change layer and
//!   publisher at key frames only, and their bytes are those that were sent ([`Seen::astray`](lyceum_bot::Seen), `corrupt`).
//! - In a room: one order of messages, each once.
//! - In a shard: caches within their bound; nothing left of a room that has ended.

use lyceum_wire::demux::Class;
use lyceum_wire::id::{NodeId, ParticipantId};
use lyceum_wire::link::datagram::Datagram;
use lyceum_wire::link::{Alias, HOPS_MAX, Message};
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
    crossed: BTreeMap<(usize, usize, Alias), Numbers>,
    /// Numbers sent to each bot, by source: each once, for a repair has a source and a number of its own.
    left: BTreeMap<(usize, u32), Numbers>,
    /// The one order of messages, by room as its first hearer had it.
    order: BTreeMap<String, BTreeMap<u64, RoomMessage>>,
    /// Who has posted which id.
    posted: BTreeSet<(String, String, String)>,
    /// Datagrams lost on their way to an edge, or overtaken on it: each may be a gap at each viewer. What is overtaken is one
    /// when the slot has gone over to another layer meanwhile; its number can still be asked for again.
    pub(crate) lost_before: u64,
    /// Highest media numbers that have come to an edge: from a bot by source, by a link under an alias.
    came: BTreeMap<(usize, usize, u32), u64>,
    /// Media datagrams that crossed links.
    pub link_media: u64,
    /// Repairs that crossed links.
    pub link_repairs: u64,
    /// Requests for repair that crossed links.
    pub link_nacks: u64,
    /// Batches of media that passed between shards of one edge.
    pub part_media: u64,
    /// Of these: found a full queue.
    pub part_shed: u64,
    /// The largest cache of any track at any time, in bytes.
    pub cache_bytes: usize,
}

/// A set of numbers that mostly rise by one.
#[derive(Debug, Default)]
struct Numbers {
    /// What bit 0 stands for.
    base: u64,
    bits: Vec<u64>,
    count: u64,
    lowest: u64,
    highest: u64,
}

/// Numbers kept below the first one that came, for those that overtook each other.
const BELOW: u64 = 1 << 12;

impl Numbers {
    /// False: it is there already.
    fn insert(&mut self, number: u64) -> bool {
        if self.count == 0 {
            (self.base, self.lowest, self.highest) = (number.saturating_sub(BELOW), number, number);
        }
        let Some(at) = number.checked_sub(self.base) else { return true };
        let (word, bit) = ((at / 64) as usize, 1u64 << (at % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let Some(there) = self.bits.get_mut(word) else { return true };
        if *there & bit != 0 {
            return false;
        }
        *there |= bit;
        self.count += 1;
        (self.lowest, self.highest) = (self.lowest.min(number), self.highest.max(number));
        true
    }

    fn extend(&self, low: u16) -> u64 {
        extend((self.count > 0).then_some(self.highest), low)
    }

    fn gaps(&self) -> u64 {
        if self.count == 0 { 0 } else { self.highest - self.lowest + 1 - self.count }
    }
}

/// The number that 16 bits stand for: the one nearest to the highest so far.
fn extend(highest: Option<u64>, low: u16) -> u64 {
    match highest {
        None => 1 << 20 | u64::from(low),
        Some(highest) => highest.wrapping_add_signed(i64::from(low.wrapping_sub(highest as u16) as i16)),
    }
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
    pub(crate) fn crosses(&mut self, from: usize, to: usize, bytes: &[u8]) {
        match Datagram::parse(bytes) {
            Ok(Datagram::Rtp { header, .. }) => {
                if header.flags.repair {
                    self.link_repairs += 1;
                    return;
                }
                self.link_media += 1;
                if !self.crossed.entry((from, to, header.alias)).or_default().insert(header.sequence) {
                    let (alias, sequence) = (header.alias, header.sequence);
                    self.wrong(format!("edge {from} sent {sequence} of {alias:?} to edge {to} twice"));
                }
            }
            Ok(Datagram::Fragment { .. }) => self.link_media += 1,
            Ok(Datagram::Nack(_)) => self.link_nacks += 1,
            Err(error) => self.wrong(format!("edge {from} sent edge {to} what is no link datagram: {error}")),
        }
    }

    /// A datagram comes out of a link.
    pub(crate) fn arrives(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if let Ok(Datagram::Rtp { header, .. } | Datagram::Fragment { header, .. }) = Datagram::parse(bytes) {
            self.came((from, to, header.alias.0), |_| header.sequence);
        }
    }

    /// A datagram comes from a bot.
    pub(crate) fn comes(&mut self, bot: usize, bytes: &[u8]) {
        if Class::of(bytes) == Some(Class::Rtp)
            && let Ok(header) = rtp::Header::parse(bytes)
        {
            self.came((bot, usize::MAX, header.ssrc), |highest| extend(highest, header.sequence));
        }
    }

    fn came(&mut self, stream: (usize, usize, u32), number: impl Fn(Option<u64>) -> u64) {
        let known = self.came.get(&stream).copied();
        let number = number(known);
        if known.is_some_and(|highest| number < highest) {
            self.lost_before += 1;
        } else {
            self.came.insert(stream, number);
        }
    }

    /// A message is written on a link.
    pub(crate) fn says(&mut self, from: &NodeId, to: &NodeId, message: &Message) {
        match message {
            Message::Announce { track, hops, .. } => {
                let name = &track.name;
                if hops.last() != Some(from) || hops.contains(to) || hops.len() > HOPS_MAX {
                    self.wrong(format!("{from} offers {to} {name:?} by {hops:?}"));
                }
                let once: BTreeSet<&NodeId> = hops.iter().collect();
                if once.len() != hops.len() {
                    self.wrong(format!("{name:?} has gone in a circle: {hops:?}"));
                }
            }
            Message::Roster { present, .. } => {
                for person in present.iter().filter(|person| person.edge != *from) {
                    self.wrong(format!("{from} tells {to} of {}, who is at {}", person.id, person.edge));
                }
            }
            _ => {}
        }
    }

    /// A datagram leaves for a bot: no number twice from one source.
    pub(crate) fn leaves(&mut self, bot: usize, bytes: &[u8]) {
        if Class::of(bytes) != Some(Class::Rtp) {
            return;
        }
        match rtp::Header::parse(bytes) {
            Ok(header) => {
                let left = self.left.entry((bot, header.ssrc)).or_default();
                let number = left.extend(header.sequence);
                if !left.insert(number) {
                    self.wrong(format!("bot {bot} was sent {} of {:x} twice", header.sequence, header.ssrc));
                }
            }
            Err(error) => self.wrong(format!("bot {bot} was sent what is no RTP: {error}")),
        }
    }

    /// At the end: a gap in what left for a bot is there because something was lost on its way to that edge.
    pub(crate) fn look_at_gaps(&mut self) {
        let lost = self.lost_before;
        let gaps: Vec<_> = self.left.iter().filter(|(_, left)| left.gaps() > lost).collect();
        let words: Vec<String> = gaps
            .into_iter()
            .map(|((bot, ssrc), left)| {
                let (gaps, count) = (left.gaps(), left.count);
                format!("bot {bot} was sent {count} of {ssrc:x} with {gaps} gaps, and {lost} datagrams were lost or late before")
            })
            .collect();
        words.into_iter().for_each(|words| self.wrong(words));
    }

    /// Caches of a shard, as they are now.
    pub(crate) fn caches(&mut self, edge: usize, count: usize, largest: usize) {
        self.cache_bytes = self.cache_bytes.max(largest);
        if largest > CACHE_BYTES_MAX {
            self.wrong(format!("one of the {count} caches of edge {edge} has {largest} bytes"));
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
                    let post = (room.to_owned(), message.from.to_string(), message.id.clone());
                    let words = format!("{} of {} was posted twice", message.id, message.from);
                    order.insert(message.number, message);
                    if !self.posted.insert(post) {
                        self.wrong(words);
                    }
                }
            }
        }
    }

    /// How many messages of somebody the room's one order has.
    #[must_use]
    pub fn messages_of(&self, room: &str, who: &ParticipantId) -> u64 {
        let all = self.order.get(room).into_iter().flat_map(BTreeMap::values);
        all.filter(|message| message.from == *who).count() as u64
    }

    /// How many messages the room's one order has.
    #[must_use]
    pub fn messages(&self, room: &str) -> u64 {
        self.order.get(room).map_or(0, |order| order.len() as u64)
    }
}

/// A cache keeps two seconds of a layer; rings double, so that the largest of these clips (a key frame a second, 350 kbit/s
/// on average) may have four times what that is.
const CACHE_BYTES_MAX: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_over_gaps_and_the_end_of_sixteen_bits() {
        let mut numbers = Numbers::default();
        for low in [65_533u16, 65_534, 0, 65_535, 2, 65_532] {
            let number = numbers.extend(low);
            assert!(numbers.insert(number), "{low}");
            assert!(!numbers.insert(number), "{low} again");
        }
        assert_eq!((numbers.count, numbers.gaps()), (6, 1));
    }

    #[test]
    fn a_gap_needs_a_loss() {
        let mut findings = Findings::default();
        let packet = |sequence: u16| {
            let mut bytes = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3];
            bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
            bytes
        };
        for sequence in [10, 11, 13] {
            findings.leaves(0, &packet(sequence));
        }
        findings.lost_before = 1;
        findings.look_at_gaps();
        assert!(findings.list().is_empty());
        findings.lost_before = 0;
        findings.look_at_gaps();
        assert_eq!(findings.list().len(), 1);
        findings.leaves(0, &packet(11));
        assert_eq!(findings.list().len(), 2);
    }
}
