//! How many answers a source gets before it has proved who it is.
//!
//! Sources can be forged: an answer to a request that carries no proof may hit somebody who never asked. The budget bounds
//! what one victim can be made to receive; a table of fixed size bounds what the attacker can make us remember.

use lyceum_wire::splitmix;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Answers a source may get at once: a class of 300 behind one address translator joins in one minute.
const BURST: u32 = 512;
/// One more answer per this: 64 a second, about 8 kB/s at most towards a victim.
const REFILL: Duration = Duration::from_micros(15_625);
/// Buckets: sources that share one share its budget. 4,096 × 16 B stay in the cache.
const BUCKETS: usize = 4096;

/// Budgets of all sources.
#[derive(Debug)]
pub(super) struct Budget {
    buckets: Vec<Bucket>,
    seed: u64,
    started: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Answers used up and not refilled yet.
    used: u32,
    /// When `used` was last right, in refills since the start.
    at: u64,
}

impl Budget {
    pub(super) fn new(seed: &[u8; 32], now: Instant) -> Self {
        let seed = seed.iter().rev().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Self { buckets: vec![Bucket::default(); BUCKETS], seed, started: now }
    }

    /// The key of [`mix`] on this server.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Takes one answer to `ip` out of its budget; false when none is left.
    pub(super) fn take(&mut self, ip: IpAddr, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.started).as_micros() / REFILL.as_micros();
        let refills = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let index = self.index(ip);
        let Some(bucket) = self.buckets.get_mut(index) else { return false };
        let refilled = u32::try_from(refills.saturating_sub(bucket.at)).unwrap_or(u32::MAX);
        bucket.used = bucket.used.saturating_sub(refilled);
        bucket.at = refills;
        if bucket.used >= BURST {
            return false;
        }
        bucket.used += 1;
        true
    }

    /// IPv6 sources are counted by /64: one customer has that many.
    fn index(&self, ip: IpAddr) -> usize {
        let source = match ip {
            IpAddr::V4(ip) => u64::from(u32::from(ip)),
            IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 64).unwrap_or(0),
        };
        usize::try_from(mix(self.seed, source) % BUCKETS as u64).unwrap_or(0)
    }
}

/// A keyed word, spread: strangers cannot choose their neighbours, and a replay repeats it.
pub(super) fn mix(key: u64, word: u64) -> u64 {
    splitmix::spread(word ^ key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_runs_dry_and_others_do_not_notice() {
        let start = Instant::now();
        let mut budget = Budget::new(&[7; 32], start);
        let victim: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "198.51.100.1".parse().unwrap();
        let answered = (0..10_000).filter(|_| budget.take(victim, start)).count();
        assert_eq!(answered, 512);
        assert!(budget.take(other, start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| budget.take(victim, later)).count(), 64);
    }

    #[test]
    fn neighbours_in_one_ipv6_subnet_share() {
        let start = Instant::now();
        let mut budget = Budget::new(&[7; 32], start);
        for host in 0..512_u16 {
            assert!(budget.take(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]), start));
        }
        assert!(!budget.take("2001:db8::ffff".parse().unwrap(), start));
    }
}
