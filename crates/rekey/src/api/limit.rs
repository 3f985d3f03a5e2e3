//! How often is too often: GCRA, one timestamp per key, on this node.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::http::Extensions;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use super::client_address::client_address;
use crate::{api::path::Style, config, id::ClientId};

/// Failed tries for a token per network (/24, /64) and second.
const FAILURES: u32 = 50;
/// Tries to sign in per network and second: each costs 19 MiB and some ten milliseconds.
const SIGN_INS: u32 = 10;
/// How many keys may be kept before the idle ones are looked for, and how often.
const KEPT: usize = 10_000;
const SWEEP: u32 = 1024;

/// The limits of this node.
pub(crate) struct Limits {
    requests: Option<Limit<(ClientId, Style)>>,
    failures: Limit<IpAddr>,
    sign_ins: Limit<IpAddr>,
}

impl Limits {
    pub(super) fn new(settings: &config::Limits) -> Self {
        Self {
            requests: Limit::new(settings.requests_per_10s, Duration::from_secs(10)),
            failures: Limit::always(FAILURES, Duration::from_secs(1)),
            sign_ins: Limit::always(SIGN_INS, Duration::from_secs(1)),
        }
    }

    /// Counts a request of a client (contract, section 1.6): the seconds to wait, if too many.
    pub(super) fn request(&self, client: &ClientId, style: Style) -> Result<(), u64> {
        self.requests.as_ref().map_or(Ok(()), |limit| limit.check(&(client.clone(), style)))
    }

    /// Counts a failed try for a token. Those who have the right secret are never refused, however
    /// much their neighbours fail.
    pub(super) fn failure(&self, extensions: &Extensions) -> Result<(), u64> {
        self.failures.check(&network(extensions))
    }

    /// Counts a try to sign in, before it costs anything.
    pub(crate) fn sign_in(&self, extensions: &Extensions) -> Result<(), u64> {
        self.sign_ins.check(&network(extensions))
    }
}

/// So many of a key in a span; all of them at once is fine.
struct Limit<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// None where `most` is 0: no limit.
    fn new(most: u32, span: Duration) -> Option<Self> {
        NonZeroU32::new(most).map(|_| Self::always(most, span))
    }

    fn always(most: u32, span: Duration) -> Self {
        let burst = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(span / burst.get())
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst);
        Self { limiter: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
    }

    fn check(&self, key: &K) -> Result<(), u64> {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks.is_multiple_of(SWEEP) && self.limiter.len() > KEPT {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

/// The network a request comes from: what one party is usually given.
fn network(extensions: &Extensions) -> IpAddr {
    match client_address(extensions) {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;
    use crate::api::ClientAddress;

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let limits =
            Limits::new(&config::Limits { requests_per_10s: 100, ..config::Limits::default() });
        let (one, other) = (ClientId::new(), ClientId::new());
        for _ in 0..100 {
            assert_eq!(limits.request(&one, Style::V3), Ok(()));
        }
        assert_eq!(limits.request(&one, Style::V3), Err(1));
        assert_eq!(limits.request(&one, Style::V1), Ok(()), "each version has its own");
        assert_eq!(limits.request(&other, Style::V3), Ok(()), "each client has its own");
    }

    #[test]
    fn a_slow_limit_says_how_long() {
        let limit = Limit::always(1, Duration::from_secs(10));
        assert_eq!(limit.check(&1), Ok(()));
        assert_eq!(limit.check(&1), Err(10));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits =
            Limits::new(&config::Limits { requests_per_10s: 0, ..config::Limits::default() });
        let client = ClientId::new();
        assert!((0..1000).all(|_| limits.request(&client, Style::V3).is_ok()));
    }

    #[test]
    fn neighbours_share_a_network() {
        let of = |ip: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(ClientAddress::of(ip.parse().unwrap(), &HeaderMap::new(), &[]));
            network(&extensions).to_string()
        };
        assert_eq!(of("192.0.2.7"), "192.0.2.0");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.0");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
