//! Whether the sender is limited by what it has to send rather than by the estimate.
//!
//! A budget fills at a share of the target and is used up by what is sent; when it stays nearly full, little is sent.

use crate::fetch::fetch;

/// Share of the target that counts as "all of it": encoders do not meet their rate exactly.
const SHARE: f64 = 0.65;
/// The budget holds this much time, in seconds.
const HOLDS_S: f64 = 0.5;
/// Fuller than this: limited. Emptier than the other: not any more.
const BEGINS: f64 = 0.8;
const ENDS: f64 = 0.5;

/// The budget.
#[derive(Debug)]
pub(super) struct Limited {
    bytes: f64,
    at_us: u64,
    limited_since_us: Option<u64>,
    ended_us: Option<u64>,
}

impl Limited {
    pub(super) fn new(now_us: u64) -> Self {
        Self { bytes: 0.0, at_us: now_us, limited_since_us: None, ended_us: None }
    }

    /// Asks for what an update needs.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(&self.bytes);
        fetch(&self.at_us);
        fetch(&self.limited_since_us);
    }

    /// Something was sent, or (`bytes` 0) time passed.
    #[inline]
    pub(super) fn update(&mut self, bytes: u16, target_bps: f64, now_us: u64) {
        let elapsed_s = now_us.saturating_sub(self.at_us) as f64 / 1e6;
        self.at_us = now_us;
        let rate = target_bps * SHARE / 8.0;
        let most = rate * HOLDS_S;
        self.bytes = (self.bytes + rate * elapsed_s - f64::from(bytes)).clamp(-most, most);
        if self.bytes > most * BEGINS {
            self.limited_since_us.get_or_insert(now_us);
        } else if self.bytes < most * ENDS && self.limited_since_us.take().is_some() {
            self.ended_us = Some(now_us);
        }
    }

    /// It is limited now.
    pub(super) fn is_limited(&self) -> bool {
        self.limited_since_us.is_some()
    }

    /// It is limited now, or was a moment ago.
    pub(super) fn lately(&self, within_us: u64, now_us: u64) -> bool {
        self.is_limited() || self.ended_us.is_some_and(|ended| now_us.saturating_sub(ended) < within_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_of_a_voice_is_limited_and_one_of_pictures_is_not() {
        let mut limited = Limited::new(0);
        for n in 0..50_u64 {
            limited.update(80, 1_000_000.0, n * 20_000);
        }
        assert!(limited.is_limited());
        // 960 kbit/s.
        for n in 50..80_u64 {
            limited.update(2_400, 1_000_000.0, n * 20_000);
        }
        assert!(!limited.is_limited());
        assert!(limited.lately(1_000_000, 80 * 20_000));
        assert!(!limited.lately(1_000_000, 200 * 20_000));
    }
}
