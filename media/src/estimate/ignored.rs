//! Feedback that is passed over: a closed list, counted.

/// Why what feedback said of a packet was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// No packet with this number was sent, or it was forgotten long ago.
    NotInHistory,
    /// It was told before that the packet arrived.
    ToldBefore,
    /// The peer's clock says something impossible: feedback from another time, or a clock that was set. Believed when
    /// it goes on saying so.
    ClockJumped,
}

impl Ignored {
    /// All reasons, in the order of their counts.
    pub const ALL: &[Self] = &[Self::NotInHistory, Self::ToldBefore, Self::ClockJumped];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotInHistory => "not_in_history",
            Self::ToldBefore => "told_before",
            Self::ClockJumped => "clock_jumped",
        }
    }
}

/// How often each reason struck.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts([u32; 3]);

impl Counts {
    pub(super) fn count(&mut self, reason: Ignored) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn of(&self, reason: Ignored) -> u32 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }
}
