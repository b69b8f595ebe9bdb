//! Where a participant goes, as a pure function: first the region, then the edge in it.
//!
//! The region is the one wished for; else the one that answered fastest; else the one most of the room is in; else any.
//! A region without an edge that can take somebody is passed over. Inside it the lowest [`Score`] wins, equal ones by a
//! hash of room and node, so that every control plane decides alike and rooms spread over equal edges.

use lyceum_wire::api::{Candidate, Exclusion, Load, Score};
use lyceum_wire::id::{NodeId, Region, RoomId};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Load assumed for a participant who is on the way, as a share of a core: a viewer of nine tiles at a third of a megabit
/// each is some 300 packets a second; with a publisher's share of others' copies about half a percent.
pub const EXPECTED_CPU: f64 = 0.005;
/// What each participant weighs beside the measured load: enough to tell idle nodes apart, too little to outweigh cpu.
pub const CROWD_CPU: f64 = 0.000_1;
/// How much busier, as a share of a core, an edge may be and still be preferred for hosting the room already.
pub const HOSTING_CPU: f64 = 0.2;
/// Above this an edge gets no preference for hosting: it is about to drop packets.
pub const BUSY_CPU: f64 = 0.85;

/// One node as placement sees it.
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    /// The node.
    pub node: &'a NodeId,
    /// Its region.
    pub region: &'a Region,
    /// It says that it takes people.
    pub ready: bool,
    /// It has been silent for longer than its lease.
    pub silent: bool,
    /// How busy it said it was.
    pub load: Load,
    /// Participants placed there whom that does not show yet.
    pub expected: u32,
    /// Participants it has in this room; none when it does not host it.
    pub hosts: Option<u32>,
}

/// What a participant wishes.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The room.
    pub room: &'a RoomId,
    /// The region wished for.
    pub region: Option<&'a Region>,
    /// Measured round-trip times.
    pub rtt_ms: &'a BTreeMap<Region, f64>,
    /// Nodes just found unreachable.
    pub avoid: &'a [NodeId],
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The edge; none when no edge can take anybody.
    pub chosen: Option<NodeId>,
    /// Why, in one sentence.
    pub reason: String,
    /// Every node, the best first, those that cannot be chosen last.
    pub candidates: Vec<Candidate>,
}

/// Decides.
#[must_use]
pub fn choose(wish: &Wish<'_>, offers: &[Offer<'_>]) -> Verdict {
    let mut judged: Vec<Judged<'_>> = offers.iter().map(|offer| Judged::new(wish, offer)).collect();
    let some_not_avoided = judged.iter().any(|one| one.open() && !one.avoided);
    for one in judged.iter_mut().filter(|one| some_not_avoided && one.avoided && one.open()) {
        one.excluded = Some(Exclusion::Avoided);
    }
    let region = pick_region(wish, &judged);
    if let Some(region) = &region.only {
        for one in judged.iter_mut().filter(|one| one.open() && one.offer.region != region) {
            one.excluded = Some(Exclusion::OtherRegion);
        }
    }
    judged.sort_by(Judged::order);
    let open = judged.iter().filter(|one| one.open()).count();
    let best = judged.first().filter(|one| one.open());
    let reason = match best {
        Some(best) => format!("{}; {}.", region.because, within_region(best, open)),
        None => nobody(&judged),
    };
    let chosen = best.map(|best| best.offer.node.clone());
    Verdict { chosen, reason, candidates: judged.iter().map(Judged::candidate).collect() }
}

struct Judged<'a> {
    offer: &'a Offer<'a>,
    excluded: Option<Exclusion>,
    avoided: bool,
    score: Score,
    tie: u64,
}

impl<'a> Judged<'a> {
    fn new(wish: &Wish<'_>, offer: &'a Offer<'a>) -> Self {
        let excluded = match (offer.silent, offer.ready) {
            (true, _) => Some(Exclusion::Silent),
            (false, false) => Some(Exclusion::NotReady),
            (false, true) => None,
        };
        Self {
            offer,
            excluded,
            avoided: wish.avoid.contains(offer.node),
            score: score(offer),
            tie: tie(wish.room, offer.node),
        }
    }

    fn open(&self) -> bool {
        self.excluded.is_none()
    }

    /// Those that can be chosen first, then by score, then by the hash, then (two equal hashes) by name.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let by_score = self.score.total.total_cmp(&other.score.total);
        let by_name = self.tie.cmp(&other.tie).then_with(|| self.offer.node.cmp(other.offer.node));
        self.excluded.cmp(&other.excluded).then(by_score).then(by_name)
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            node: self.offer.node.clone(),
            region: self.offer.region.clone(),
            excluded: self.excluded,
            score: self.score,
        }
    }
}

fn score(offer: &Offer<'_>) -> Score {
    let cpu = if offer.load.cpu.is_finite() { offer.load.cpu.clamp(0.0, 1.0) } else { 1.0 };
    let expected = f64::from(offer.expected) * EXPECTED_CPU;
    let crowd = f64::from(offer.load.participants) * CROWD_CPU;
    let busy = cpu + expected;
    let hosting = if offer.hosts.is_some() && busy < BUSY_CPU { -HOSTING_CPU } else { 0.0 };
    Score { cpu, expected, crowd, hosting, total: busy + crowd + hosting }
}

/// FNV-1a over room and node: the same on every control plane and in every version.
fn tie(room: &RoomId, node: &NodeId) -> u64 {
    let bytes = room.as_str().bytes().chain(std::iter::once(b'/')).chain(node.as_str().bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The region decided on, or none: any will do.
struct Pick {
    only: Option<Region>,
    because: String,
}

fn pick_region(wish: &Wish<'_>, judged: &[Judged<'_>]) -> Pick {
    let open = |region: &Region| judged.iter().any(|one| one.open() && one.offer.region == region);
    let mut because = String::new();
    if let Some(wished) = wish.region {
        if open(wished) {
            return Pick { only: Some(wished.clone()), because: format!("region {wished} was wished for") };
        }
        let _ = write!(because, "region {wished} was wished for but has no edge to offer, so ");
    }
    let measured = wish.rtt_ms.iter().filter(|(region, ms)| ms.is_finite() && **ms >= 0.0 && open(region));
    if let Some((region, ms)) = measured.min_by(|a, b| a.1.total_cmp(b.1)) {
        let _ = write!(because, "region {region} answered fastest ({ms:.0} ms)");
        return Pick { only: Some(region.clone()), because };
    }
    let mut people: BTreeMap<&Region, u32> = BTreeMap::new();
    for one in judged {
        *people.entry(one.offer.region).or_default() += one.offer.hosts.unwrap_or(0);
    }
    let total: u32 = people.values().sum();
    people.retain(|region, people| *people > 0 && open(region));
    // Of equal regions the first by name.
    if let Some((region, there)) = people.into_iter().rev().max_by_key(|(_, people)| *people) {
        let _ = write!(because, "{there} of the {total} people in the room are in region {region}");
        return Pick { only: Some(region.clone()), because };
    }
    because.push_str("no region was wished for or measured and the room is empty");
    Pick { only: None, because }
}

fn within_region(best: &Judged<'_>, open: usize) -> String {
    let node = best.offer.node;
    match (open, best.score.hosting < 0.0) {
        (1, _) => format!("{node} is the only edge that can take you there"),
        (_, true) => format!("{node} hosts the room already and is not clearly busier than the others"),
        (_, false) => format!("{node} is the least busy of {open} edges"),
    }
}

fn nobody(judged: &[Judged<'_>]) -> String {
    if judged.is_empty() {
        return "No edge has registered.".into();
    }
    let count = |why| judged.iter().filter(|one| one.excluded == Some(why)).count();
    format!(
        "None of the {} known edges can take anybody: {} not ready, {} silent.",
        judged.len(),
        count(Exclusion::NotReady),
        count(Exclusion::Silent)
    )
}

#[cfg(test)]
mod tests;
