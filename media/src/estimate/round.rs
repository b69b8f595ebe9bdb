//! One feedback while it is taken in, whatever its format.

/// One feedback while it is taken in.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) unit: Unit,
    pub(super) anchor: Option<Anchor>,
    pub(super) newest: Option<Newest>,
    /// What the probes say that it completes.
    pub(super) probed_bps: Option<f64>,
}

impl Round {
    pub(super) fn new(unit: Unit) -> Self {
        Self { unit, anchor: None, newest: None, probed_bps: None }
    }
}

/// Ticks of the peer's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// 250 µs.
    TransportWide,
    /// 1/65,536 s.
    Ntp,
}

impl Unit {
    #[inline]
    pub(super) fn us(self, ticks: i64) -> i64 {
        match self {
            Self::TransportWide => ticks * 250,
            Self::Ntp => ticks * 15_625 / 1_024,
        }
    }
}

/// The first arrival of a feedback, as told and on the extended clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    pub(super) ticks: i64,
    pub(super) extended: i64,
    pub(super) doubtful: bool,
}

/// The newest packet that a feedback speaks of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    pub(super) sent_us: u64,
    /// How long the peer kept it to itself.
    pub(super) held_us: u64,
}
