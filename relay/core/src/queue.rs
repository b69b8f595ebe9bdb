//! What waits to leave on one link until the end of this turn: datagrams, written one behind the other.

use bytes::{Bytes, BytesMut};
use lyceum_wire::link::Alias;
use lyceum_wire::link::datagram::{Body, FRAGMENT_HEADER_BYTES, Nack, RTP_HEADER_BYTES, RtpHeader, fragments};

/// Bytes waiting for one link in one turn at most: the newest second of 20 Mbit/s, asked for all at once, and the live ones.
pub const TURN_BYTES_MAX: usize = 4 << 20;
/// Memory is taken in pieces of this size, in bytes; some 50 datagrams share one.
const CHUNK_BYTES: usize = 64 << 10;
/// Largest NACK, in bytes.
const NACK_BYTES_MAX: usize = 1024;

/// Why a packet was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// [`TURN_BYTES_MAX`] wait already.
    Full,
    /// It does not fit into the link's datagrams, even in parts.
    TooLarge,
}

/// A body as it is written: length of the descriptor, the descriptor, the payload.
struct Pieces<'a> {
    length: [u8; 1],
    body: Body<'a>,
    described: bool,
}

impl<'a> Pieces<'a> {
    fn of(header: &RtpHeader, body: Body<'a>) -> Result<Self, Refused> {
        let length = u8::try_from(body.descriptor.len()).map_err(|_| Refused::TooLarge)?;
        Ok(Self { length: [length], body, described: header.flags.descriptor })
    }

    fn each(&self) -> [&[u8]; 3] {
        if self.described {
            [&self.length, self.body.descriptor, self.body.payload]
        } else {
            [&[], &[], self.body.payload]
        }
    }

    fn len(&self) -> usize {
        self.each().iter().map(|piece| piece.len()).sum()
    }

    /// Fills `out` with what stands from `from` on.
    fn copy(&self, from: usize, out: &mut [u8]) {
        let (mut skip, mut rest) = (from, out);
        for whole in self.each() {
            let piece = whole.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(whole.len());
            let count = piece.len().min(rest.len());
            let (place, after) = rest.split_at_mut(count);
            place.copy_from_slice(piece.get(..count).unwrap_or_default());
            rest = after;
        }
    }
}

/// The queue of one link.
#[derive(Debug, Default)]
pub struct Queue {
    chunk: BytesMut,
    /// The chunk before: it is used again once all its datagrams have been sent.
    former: BytesMut,
    ready: Vec<Bytes>,
    bytes: usize,
}

impl Queue {
    /// Queues a packet, in parts if the link's datagrams are smaller. Returns how many bytes it takes.
    pub fn packet(&mut self, header: &RtpHeader, body: Body<'_>, datagram_bytes_max: usize) -> Result<usize, Refused> {
        let pieces = Pieces::of(header, body)?;
        let whole = RTP_HEADER_BYTES + pieces.len();
        if self.bytes + whole > TURN_BYTES_MAX {
            return Err(Refused::Full);
        }
        let before = self.bytes;
        if whole <= datagram_bytes_max {
            let out = self.take(whole);
            let (head, body) = out.split_at_mut(RTP_HEADER_BYTES);
            // The header's length is a constant of the protocol: it fits.
            if header.write(head).is_ok() {
                pieces.copy(0, body);
                self.seal(whole);
            }
            return Ok(self.bytes - before);
        }
        let mut cuts = fragments(pieces.len(), datagram_bytes_max).peekable();
        if cuts.peek().is_none() {
            return Err(Refused::TooLarge);
        }
        for cut in cuts {
            let length = FRAGMENT_HEADER_BYTES + cut.range.len();
            let out = self.take(length);
            let (head, body) = out.split_at_mut(FRAGMENT_HEADER_BYTES);
            if header.write_fragment(cut.part, head).is_ok() {
                pieces.copy(cut.range.start, body);
                self.seal(length);
            }
        }
        Ok(self.bytes - before)
    }

    /// Queues requests for what is missing (rising), in as many datagrams as it takes.
    pub fn nacks(&mut self, room_key: u64, alias: Alias, mut missing: &[u64], datagram_bytes_max: usize) {
        while !missing.is_empty() && self.bytes < TURN_BYTES_MAX {
            let out = self.take(NACK_BYTES_MAX.min(datagram_bytes_max));
            let Ok(written) = Nack::write(out, room_key, alias, missing) else { return };
            self.seal(written.bytes);
            missing = missing.get(written.sequences..).unwrap_or_default();
        }
    }

    /// All that waits, in order.
    pub fn drain(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.ready)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Room for a datagram of `length`.
    fn take(&mut self, length: usize) -> &mut [u8] {
        if self.chunk.capacity() < length {
            std::mem::swap(&mut self.chunk, &mut self.former);
            let wanted = CHUNK_BYTES.max(length);
            if !self.chunk.try_reclaim(wanted) {
                self.chunk = BytesMut::with_capacity(wanted);
            }
        }
        self.chunk.resize(length, 0);
        &mut self.chunk
    }

    /// The first `length` bytes of the room just taken are a datagram.
    fn seal(&mut self, length: usize) {
        let datagram = self.chunk.split_to(length.min(self.chunk.len())).freeze();
        self.chunk.clear();
        self.bytes += datagram.len();
        self.ready.push(datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::link::Layer;
    use lyceum_wire::link::datagram::{Datagram, Flags};

    fn header(sequence: u64) -> RtpHeader {
        RtpHeader {
            alias: Alias(7),
            layer: Layer::default(),
            sequence,
            timestamp: 0,
            age_eighths_ms: 0,
            audio_level: 0xff,
            back: 0,
            flags: Flags::default(),
        }
    }

    fn plain(payload: &[u8]) -> Body<'_> {
        Body { descriptor: &[], payload }
    }

    #[test]
    fn a_descriptor_travels_in_front_of_its_payload() {
        let (descriptor, payload) = ([0xc0, 0, 7, 9], (0..1_400).map(|n| n as u8).collect::<Vec<u8>>());
        let flags = Flags { descriptor: true, ..Flags::default() };
        let header = RtpHeader { flags, ..header(1) };
        let body = Body { descriptor: &descriptor, payload: &payload };
        let mut queue = Queue::default();
        for (datagram_bytes_max, parts) in [(1_426, 1), (1_425, 2), (500, 3), (380, 4)] {
            queue.packet(&header, body, datagram_bytes_max).unwrap();
            let mut joined = Vec::new();
            let sent = queue.drain();
            assert_eq!(sent.len(), parts, "{datagram_bytes_max}");
            for datagram in &sent {
                let (Datagram::Rtp { payload, .. } | Datagram::Fragment { payload, .. }) =
                    Datagram::parse(datagram).unwrap()
                else {
                    panic!("not a packet")
                };
                joined.extend_from_slice(payload);
            }
            assert_eq!(Body::parse(flags, &joined), Ok(body));
        }
    }

    #[test]
    fn a_packet_travels_whole_if_it_fits_and_in_parts_if_not() {
        let payload: Vec<u8> = (0..1_400).map(|n| n as u8).collect();
        let mut queue = Queue::default();
        for (datagram_bytes_max, parts) in [(1_421, 1), (1_420, 2), (800, 2), (500, 3), (380, 4)] {
            queue.packet(&header(1), plain(&payload), datagram_bytes_max).unwrap();
            let sent = queue.drain();
            assert_eq!(sent.len(), parts);
            let mut joined = Vec::new();
            for datagram in &sent {
                assert!(datagram.len() <= datagram_bytes_max);
                match Datagram::parse(datagram).unwrap() {
                    Datagram::Rtp { payload, .. } | Datagram::Fragment { payload, .. } => {
                        joined.extend_from_slice(payload)
                    }
                    Datagram::Nack(_) => panic!("not a packet"),
                }
            }
            assert_eq!(joined, payload);
        }
        assert_eq!(queue.packet(&header(1), plain(&payload), 300), Err(Refused::TooLarge));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = Queue::default();
        let payload = [0; 1_000];
        let mut taken = 0;
        while queue.packet(&header(taken), plain(&payload), 1_200).is_ok() {
            taken += 1;
        }
        assert_eq!(taken as usize, TURN_BYTES_MAX / (1_000 + RTP_HEADER_BYTES));
        assert_eq!(queue.packet(&header(0), plain(&payload), 1_200), Err(Refused::Full));
        assert_eq!(queue.drain().len() as u64, taken);
        assert!(queue.packet(&header(0), plain(&payload), 1_200).is_ok());
    }

    #[test]
    fn memory_is_used_again_once_it_is_sent() {
        let mut queue = Queue::default();
        let mut places = std::collections::BTreeSet::new();
        for sequence in 0..1_000 {
            queue.packet(&header(sequence), plain(&[sequence as u8; 1_000]), 1_200).unwrap();
            let sent = queue.drain();
            assert!(sent[0].ends_with(&[sequence as u8; 1_000]));
            places.insert(sent[0].as_ptr() as usize);
        }
        assert!(places.len() <= 2 * CHUNK_BYTES / 1_000, "{} places", places.len());
    }

    #[test]
    fn many_missing_packets_are_asked_for_in_several_datagrams() {
        let missing: Vec<u64> = (0..500).map(|n| n * 2).collect();
        let mut queue = Queue::default();
        queue.nacks(9, Alias(7), &missing, 1_100);
        let mut asked = Vec::new();
        for datagram in queue.drain() {
            let Datagram::Nack(nack) = Datagram::parse(&datagram).unwrap() else { panic!("not a nack") };
            assert_eq!((nack.room_key, nack.alias), (9, Alias(7)));
            asked.extend(nack.sequences());
        }
        assert_eq!(asked, missing);
    }
}
