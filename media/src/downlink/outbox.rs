//! What one peer gets in one turn: datagrams side by side, cut into send calls.
//!
//! ```text
//!   bytes    │1,180│1,180│1,180│ 640││1,200│1,200││ 92 │
//!   batches  └──── segment 1,180 ───┘└─ 1,200 ───┘└────┘     UDP GSO: all of one size, the last may be shorter
//! ```

use crate::drop::Drop;

/// Datagrams in one send call: the kernel's UDP_MAX_SEGMENTS.
pub const SEGMENTS_MAX: usize = 64;
/// Bytes in one send call: what an IPv4 datagram can hold, the kernel's bound for GSO.
pub const BATCH_BYTES_MAX: usize = 65_000;
/// Bytes for one peer in one turn: a replay of two seconds at 2 Mbit/s; more in a turn of milliseconds is a mistake.
pub const OUTBOX_BYTES_MAX: usize = 512 * 1024;

/// Bytes an outbox keeps from one turn to the next: a key frame of 20 kB. A replay to a joiner is larger, and happens once.
const KEPT_BYTES: usize = 24 * 1024;
/// Datagrams are padded to this multiple of bytes when they begin a batch, and by less than this to join one: an encoder cuts
/// a picture into pieces whose sizes differ by a byte, and one send call instead of two saves more than the padding costs.
pub(super) const PAD_TO: usize = 8;
/// Shorter datagrams are not padded when they begin one: their share would be too large.
const PAD_FROM: usize = 512;
/// What comes behind a batch's first datagram is padded to its size when it lacks less than this part of it: small pictures of many
/// people leave largest first, and each send call that they share costs as much as sealing all of them.
const PAD_SHARE: usize = 12;

/// Datagrams waiting for the flush.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    batches: Vec<Batch>,
}

/// One send call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) segment: usize,
    count: usize,
    /// The last datagram was as long as the others: another may follow.
    open: bool,
}

impl Outbox {
    /// Where the next datagram is to be written: append to [`Self::bytes`], then call [`Self::close`].
    #[inline]
    pub(crate) fn open(&mut self) -> Result<usize, Drop> {
        if self.bytes.len() > OUTBOX_BYTES_MAX {
            return Err(Drop::OutboxFull);
        }
        Ok(self.bytes.len())
    }

    /// By how much a datagram of this length should be padded to share a send call with its neighbours.
    #[inline]
    pub(crate) fn padding(&self, len: usize) -> usize {
        match self.batches.last() {
            Some(batch) if batch.open && batch.count < SEGMENTS_MAX && len <= batch.segment => {
                let missing = batch.segment - len;
                if missing < PAD_TO.max(batch.segment / PAD_SHARE) { missing } else { 0 }
            }
            _ if len < PAD_FROM => 0,
            _ => len.next_multiple_of(PAD_TO) - len,
        }
    }

    /// The buffer.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The datagram that began at `start` is whole.
    #[inline]
    pub(crate) fn close(&mut self, start: usize) {
        let end = self.bytes.len();
        let len = end - start;
        if let Some(batch) = self.batches.last_mut()
            && batch.open
            && len <= batch.segment
            && batch.count < SEGMENTS_MAX
            && end - batch.start <= BATCH_BYTES_MAX
        {
            batch.end = end;
            batch.count += 1;
            batch.open = len == batch.segment;
            return;
        }
        self.batches.push(Batch { start, end, segment: len, count: 1, open: true });
    }

    /// Takes back what was written since `start`.
    pub(crate) fn cancel(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// The send calls with their bytes.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.batches.iter().filter_map(|b| Some((self.bytes.get(b.start..b.end)?, b.segment)))
    }

    /// Empties it, keeping as much memory as a usual turn needs.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.batches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(lens: &[usize]) -> Vec<(usize, usize)> {
        let mut outbox = Outbox::default();
        for len in lens {
            let start = outbox.open().unwrap();
            outbox.bytes().resize(start + len, 0);
            outbox.close(start);
        }
        outbox.batches().map(|(bytes, segment)| (bytes.len(), segment)).collect()
    }

    #[test]
    fn equal_sizes_share_a_call_and_a_shorter_one_ends_it() {
        assert_eq!(batches(&[1_000, 1_000, 400, 400, 900]), [(2_400, 1_000), (400, 400), (900, 900)]);
        assert_eq!(batches(&[100; 65]), [(6_400, 100), (100, 100)]);
        assert_eq!(batches(&[1_200; 60]), [(64_800, 1_200), (7_200, 1_200)]);
    }

    #[test]
    fn sizes_that_differ_by_a_byte_share_a_call() {
        let calls = |sizes: &[usize]| {
            let mut outbox = Outbox::default();
            for len in sizes {
                let start = outbox.open().unwrap();
                let len = len + outbox.padding(*len);
                outbox.bytes().resize(start + len, 0);
                outbox.close(start);
            }
            outbox.batches().count()
        };
        assert_eq!(calls(&[1_101, 1_101, 1_102, 1_102]), 1);
        assert_eq!(calls(&[1_102, 1_101, 1_097, 700]), 1);
        assert_eq!(calls(&[1_104, 1_104, 1_105]), 2, "one in eight meets the edge");
        assert_eq!(calls(&[100, 101]), 2, "small ones are left alone when they begin");
    }

    #[test]
    fn small_pictures_largest_first_share_calls_where_little_is_missing() {
        let calls = |sizes: &[usize]| {
            let (mut outbox, mut pads) = (Outbox::default(), Vec::new());
            for len in sizes {
                let start = outbox.open().unwrap();
                pads.push(outbox.padding(*len));
                outbox.bytes().resize(start + len + pads[pads.len() - 1], 0);
                outbox.close(start);
            }
            (outbox.batches().count(), pads)
        };
        assert_eq!(calls(&[600, 551, 480, 90, 86, 80]), (2, vec![0, 49, 0, 0, 4, 0]));
        assert_eq!(calls(&[600, 550, 480]), (2, vec![0, 0, 0]), "a twelfth is too much");
    }

    #[test]
    fn a_turn_has_a_bound() {
        let mut outbox = Outbox::default();
        let mut taken = 0;
        while let Ok(start) = outbox.open() {
            outbox.bytes().resize(start + 1_200, 0);
            outbox.close(start);
            taken += 1;
        }
        assert_eq!(taken, OUTBOX_BYTES_MAX / 1_200 + 1);
    }
}
