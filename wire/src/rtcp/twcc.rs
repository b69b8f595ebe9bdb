//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1): when each packet arrived.
//!
//! ```text
//! |      base sequence number     |      packet status count      |
//! |      reference time in 64 ms (24 bits signed)  | fb pkt count |
//! |  chunks, 16 bits each …       |  deltas in 250 µs, 1 or 2 bytes each …
//!
//! chunk:  0 SS LLLLLLLLLLLLL      status S, L times
//!         1 0 s×14                14 statuses of one bit:  0 lost, 1 small delta
//!         1 1 SS×7                7 statuses of two bits:  0 lost, 1 small, 2 large or negative
//! ```

use crate::cursor::{Cursor, Full, Reader};

/// Feedback on a run of transport-wide numbers.
#[derive(Debug, Clone)]
pub struct TransportFeedback<'a> {
    /// Who gives it.
    pub sender: u32,
    /// On whose packets: any source of the transport.
    pub media: u32,
    /// Number of the first packet spoken of.
    pub base: u16,
    /// How many packets are spoken of, at most [`STATUSES_MAX`].
    pub count: u16,
    /// Running number of feedback packets.
    pub feedback: u8,
    /// Where the deltas start, in units of 64 ms, 24 bits signed.
    reference: i32,
    chunks: Reader<'a>,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its transport-wide number.
    pub sequence: u16,
    /// When it arrived, in ticks of 250 µs since an arbitrary moment that all feedback of one receiver shares
    /// (it wraps after 12 days). `None`: it did not arrive.
    pub ticks: Option<i64>,
}

/// Most packets one feedback may speak of: twelve times what a browser sends at 100 Mbit/s within its interval of 100 ms.
pub const STATUSES_MAX: u16 = 12_288;
/// Ticks of 250 µs in the unit of the reference time, 64 ms.
const REFERENCE_TICKS: i64 = 256;

impl<'a> TransportFeedback<'a> {
    pub(super) fn read(mut reader: Reader<'a>) -> Option<Self> {
        let (sender, media) = (reader.u32()?, reader.u32()?);
        let (base, count) = (reader.u16()?, reader.u16()?);
        let [a, b, c, feedback] = reader.array()?;
        let reference = i32::from_be_bytes([a, b, c, 0]) >> 8;
        if count > STATUSES_MAX {
            return None;
        }
        Some(Self { sender, media, base, count, feedback, reference, chunks: reader })
    }

    /// What became of the packets, in order. Ends early when the bytes do.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals<'a> {
        // Deltas begin behind the chunks: walk the chunks once to find the place.
        let mut deltas = self.chunks;
        let mut spoken = 0_u32;
        while spoken < u32::from(self.count) {
            let Some(chunk) = deltas.u16() else { break };
            spoken = spoken.saturating_add(u32::from(Run::new(chunk).left));
        }
        Arrivals {
            next: self.base,
            left: self.count,
            chunks: self.chunks,
            run: Run::default(),
            deltas,
            ticks: i64::from(self.reference).saturating_mul(REFERENCE_TICKS),
        }
    }
}

/// Iterator of [`TransportFeedback::arrivals`].
#[derive(Debug, Clone)]
pub struct Arrivals<'a> {
    next: u16,
    left: u16,
    chunks: Reader<'a>,
    run: Run,
    deltas: Reader<'a>,
    ticks: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let left = self.left.checked_sub(1)?;
        while self.run.left == 0 {
            self.run = Run::new(self.chunks.u16()?);
        }
        let delta = match self.run.step() {
            SMALL => Some(i64::from(self.deltas.u8()?)),
            LARGE => Some(i64::from(i16::from_be_bytes(self.deltas.array()?))),
            _ => None,
        };
        let ticks = delta.map(|delta| {
            self.ticks = self.ticks.saturating_add(delta);
            self.ticks
        });
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        self.left = left;
        Some(Arrival { sequence, ticks })
    }
}

/// The statuses of one chunk that are still to come.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    left: u16,
    /// Status symbols, next one on top; a run length keeps its one symbol.
    symbols: u16,
    /// Bits per symbol, 0 for a run length.
    width: u8,
}

impl Run {
    fn new(chunk: u16) -> Self {
        if chunk & 0x8000 == 0 {
            Self { left: chunk & 0x1fff, symbols: chunk >> 13, width: 0 }
        } else if chunk & 0x4000 == 0 {
            Self { left: 14, symbols: chunk << 2, width: 1 }
        } else {
            Self { left: 7, symbols: chunk << 2, width: 2 }
        }
    }

    fn step(&mut self) -> u16 {
        self.left = self.left.saturating_sub(1);
        match self.width {
            0 => self.symbols,
            1 => {
                let symbol = self.symbols >> 15;
                self.symbols <<= 1;
                symbol
            }
            _ => {
                let symbol = self.symbols >> 14;
                self.symbols <<= 2;
                symbol
            }
        }
    }
}

const LOST: u16 = 0;
const SMALL: u16 = 1;
const LARGE: u16 = 2;

/// Writes everything behind the two SSRCs. `arrivals` start with number `base`; times in ticks as in [`Arrival`].
/// Returns how many of them were taken: a delta that 16 bits cannot hold, or a full buffer, ends the packet early.
pub(super) fn write(
    cursor: &mut Cursor<'_>,
    base: u16,
    feedback: u8,
    arrivals: &[Option<i64>],
    bytes_max: usize,
) -> Result<usize, Full> {
    let first = arrivals.iter().flatten().next().copied().unwrap_or(0);
    let reference = first.div_euclid(REFERENCE_TICKS);
    let taken = taken(arrivals, reference, bytes_max);
    let arrivals = arrivals.get(..taken).unwrap_or(&[]);
    cursor.u16(base)?;
    cursor.u16(u16::try_from(taken).unwrap_or(STATUSES_MAX))?;
    let [.., a, b, c] = reference.to_be_bytes();
    cursor.put(&[a, b, c, feedback])?;

    let mut deltas = Deltas::new(reference);
    let symbols = || {
        arrivals.iter().map({
            let mut deltas = Deltas::new(reference);
            move |ticks| deltas.symbol(*ticks)
        })
    };
    write_chunks(cursor, symbols())?;
    for ticks in arrivals.iter().flatten() {
        match deltas.step(*ticks) {
            delta @ 0..=255 => cursor.u8(u8::try_from(delta).unwrap_or(0))?,
            delta => cursor.put(&i16::try_from(delta).unwrap_or(0).to_be_bytes())?,
        }
    }
    Ok(taken)
}

/// How many arrivals fit into `bytes_max` and into 16-bit deltas, reckoning two statuses' worth of chunk for seven.
fn taken(arrivals: &[Option<i64>], reference: i64, bytes_max: usize) -> usize {
    const FIXED: usize = 8;
    let mut deltas = Deltas::new(reference);
    let mut delta_bytes = 0_usize;
    for (index, ticks) in arrivals.iter().enumerate() {
        delta_bytes = delta_bytes.saturating_add(match ticks.map(|ticks| deltas.step(ticks)) {
            None => 0,
            Some(0..=255) => 1,
            Some(delta) if i16::try_from(delta).is_ok() => 2,
            Some(_) => return index,
        });
        // The worst case is a vector chunk of two-bit symbols for every seven statuses.
        let chunk_bytes = (index / 7).saturating_add(1).saturating_mul(2);
        let bytes = FIXED.saturating_add(chunk_bytes).saturating_add(delta_bytes);
        if bytes > bytes_max || index >= usize::from(STATUSES_MAX) {
            return index;
        }
    }
    arrivals.len()
}

/// Differences between one arrival and the next.
#[derive(Clone)]
struct Deltas {
    last: i64,
}

impl Deltas {
    fn new(reference: i64) -> Self {
        Self { last: reference.saturating_mul(REFERENCE_TICKS) }
    }

    fn step(&mut self, ticks: i64) -> i64 {
        let delta = ticks.saturating_sub(self.last);
        self.last = ticks;
        delta
    }

    fn symbol(&mut self, ticks: Option<i64>) -> u16 {
        match ticks.map(|ticks| self.step(ticks)) {
            None => LOST,
            Some(0..=255) => SMALL,
            Some(_) => LARGE,
        }
    }
}

/// Runs of seven and more equal statuses as run lengths, the rest as vectors of seven.
fn write_chunks(cursor: &mut Cursor<'_>, symbols: impl Iterator<Item = u16> + Clone) -> Result<(), Full> {
    let mut rest = symbols;
    loop {
        let mut ahead = rest.clone();
        let Some(first) = ahead.next() else { return Ok(()) };
        let run = ahead.take_while(|symbol| *symbol == first).take(0x1ffe).count().saturating_add(1);
        let consumed = if run >= 7 {
            cursor.u16(first << 13 | u16::try_from(run).unwrap_or(0))?;
            run
        } else {
            let mut chunk = 0_u16;
            for symbol in rest.clone().chain(std::iter::repeat(LOST)).take(7) {
                chunk = chunk << 2 | symbol;
            }
            cursor.u16(0xc000 | chunk)?;
            7
        };
        for _ in 0..consumed {
            rest.next();
        }
    }
}
