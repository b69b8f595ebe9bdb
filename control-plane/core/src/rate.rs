//! How often one address may ask: a bucket of tokens each, in a table that cannot grow without end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses remembered at once, some 100 bytes each. When more ask, those that asked longest ago are forgotten, and so
/// begin with a full bucket: the bound is on memory, the rate on everybody who keeps asking.
pub const ADDRESSES_MAX: usize = 16_384;

/// Buckets of tokens, one for each address (IPv6: for each /64, which one host has to itself).
#[derive(Debug)]
pub struct Buckets {
    per_second: f64,
    burst: f64,
    buckets: BTreeMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooMany {
    /// There will be a token again then.
    pub retry_after: Duration,
}

impl Buckets {
    /// Buckets of `burst` tokens that fill at `per_second`.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), burst: f64::from(burst.max(1)), buckets: BTreeMap::new() }
    }

    /// Takes a token.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        let address = whole_host(address);
        if !self.buckets.contains_key(&address) {
            self.make_place(now);
        }
        let bucket = self.buckets.entry(address).or_insert(Bucket { tokens: self.burst, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * self.per_second).min(self.burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let retry_after = Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second);
            return Err(TooMany { retry_after });
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Forgets full buckets (they say nothing), and, when that is not enough, the older half.
    fn make_place(&mut self, now: Instant) {
        if self.buckets.len() < ADDRESSES_MAX {
            return;
        }
        let fills_in = self.burst / self.per_second;
        self.buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at).as_secs_f64() < fills_in);
        if self.buckets.len() < ADDRESSES_MAX {
            return;
        }
        let mut times: Vec<Instant> = self.buckets.values().map(|bucket| bucket.at).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        let mut kept = 0;
        self.buckets.retain(|_, bucket| {
            kept += usize::from(bucket.at >= middle);
            bucket.at >= middle && kept <= ADDRESSES_MAX / 2
        });
    }
}

fn whole_host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds_for_that_host_alone() {
        let start = Instant::now();
        let mut buckets = Buckets::new(10, 3);
        let host = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..3 {
            buckets.take(host("2001:db8::1"), start).unwrap();
        }
        let refused = buckets.take(host("2001:db8::2"), start).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_millis(100), "the same /64");
        buckets.take(host("2001:db8:0:1::1"), start).unwrap();
        buckets.take(host("2001:db8::1"), start + Duration::from_millis(100)).unwrap();
        assert!(buckets.take(host("2001:db8::1"), start + Duration::from_millis(100)).is_err());
    }

    #[test]
    fn an_ipv4_host_is_itself_in_either_spelling() {
        let start = Instant::now();
        let mut buckets = Buckets::new(1, 1);
        buckets.take("192.0.2.7".parse().unwrap(), start).unwrap();
        assert!(buckets.take("::ffff:192.0.2.7".parse().unwrap(), start).is_err());
        assert!(buckets.take("::ffff:192.0.2.8".parse().unwrap(), start).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table() {
        let start = Instant::now();
        let mut buckets = Buckets::new(1, 1);
        for i in 0..(3 * ADDRESSES_MAX as u32) {
            buckets.take(IpAddr::from(i.to_be_bytes()), start).unwrap();
            assert!(buckets.buckets.len() <= ADDRESSES_MAX);
        }
    }
}
