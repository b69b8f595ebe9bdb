//! Whose an SSRC is: which layer of which track, and whether it carries media or repairs.

use super::Publication;
use crate::drop::Drop;
use crate::feedback::report::Reception;
use crate::packet::TrackId;
use crate::srtp::SOURCES_MAX;
use lyceum_wire::ext::Known;
use lyceum_wire::rtp::Header;

/// What an SSRC carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Media,
    Repair,
}

/// What is known of an SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) track: TrackId,
    pub(super) spatial: u8,
    pub(super) role: Role,
}

/// All SSRCs of one peer, sorted.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    ssrc: u32,
    source: Source,
    reception: Reception,
}

impl Sources {
    /// Says whose an SSRC is.
    pub(super) fn bind(&mut self, ssrc: u32, track: TrackId, spatial: u8, role: Role) {
        let source = Source { track, spatial, role };
        match self.known.binary_search_by_key(&ssrc, |k| k.ssrc) {
            Ok(at) => self.known[at].source = source,
            Err(at) if self.known.len() < SOURCES_MAX => {
                self.known.insert(at, Entry { ssrc, source, reception: Reception::default() });
            }
            Err(_) => {}
        }
    }

    /// Forgets all SSRCs of a track.
    pub(super) fn remove(&mut self, track: TrackId) {
        self.known.retain(|k| k.source.track != track);
    }

    /// Whose this packet is; remembers what it says of itself.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        header: &Header,
        known: &Known<'_>,
        lines: &[Publication],
    ) -> Result<Source, Drop> {
        if let Ok(at) = self.known.binary_search_by_key(&header.ssrc, |k| k.ssrc) {
            return Ok(self.known[at].source);
        }
        let source = identify(header.payload_type, known, lines)?;
        if self.known.len() >= SOURCES_MAX {
            return Err(Drop::TooManySources);
        }
        self.bind(header.ssrc, source.track, source.spatial, source.role);
        Ok(source)
    }

    /// What is known of an SSRC.
    pub(super) fn find(&self, ssrc: u32) -> Option<Source> {
        self.known.binary_search_by_key(&ssrc, |k| k.ssrc).ok().map(|at| self.known[at].source)
    }

    /// The statistics of an SSRC.
    pub(super) fn reception<T>(&mut self, ssrc: u32, change: impl FnOnce(&mut Reception) -> T) -> Option<T> {
        let at = self.known.binary_search_by_key(&ssrc, |k| k.ssrc).ok()?;
        Some(change(&mut self.known[at].reception))
    }

    /// The statistics of all SSRCs that carry media.
    pub(super) fn media_receptions(&mut self) -> impl Iterator<Item = (u32, &mut Reception)> {
        self.known.iter_mut().filter(|k| k.source.role == Role::Media).map(|k| (k.ssrc, &mut k.reception))
    }
}

/// By mid, and by rid or repaired rid among its encodings (RFC 8843 §9.2, RFC 8852 §3); without a mid by a payload type that only
/// one line has.
fn identify(pt: u8, known: &Known<'_>, lines: &[Publication]) -> Result<Source, Drop> {
    let has = |line: &Publication| line.payload_types.iter().any(|p| p.pt == pt || p.rtx_pt == Some(pt));
    let line = match known.mid {
        Some(mid) => lines.iter().find(|line| line.mid == mid).ok_or(Drop::UnknownSource)?,
        None => {
            let mut candidates = lines.iter().filter(|line| has(line));
            let line = candidates.next().ok_or(Drop::UnknownSource)?;
            if candidates.next().is_some() {
                return Err(Drop::UnknownSource);
            }
            line
        }
    };
    let payload_type =
        line.payload_types.iter().find(|p| p.pt == pt || p.rtx_pt == Some(pt)).ok_or(Drop::UnknownPayloadType)?;
    let role = if payload_type.pt == pt { Role::Media } else { Role::Repair };
    let rid = match role {
        Role::Media => known.rid,
        Role::Repair => known.repaired_rid.or(known.rid),
    };
    let encoding = match (rid, line.encodings.as_slice()) {
        (Some(rid), encodings) => encodings.iter().find(|e| e.rid.as_deref() == Some(rid)),
        // Without a rid only a line with one encoding is unambiguous.
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let encoding = encoding.ok_or(Drop::UnknownSource)?;
    Ok(Source { track: line.track, spatial: encoding.spatial, role })
}
