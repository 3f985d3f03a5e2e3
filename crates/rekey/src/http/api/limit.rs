//! Rate limits of this node: GCRA, one timestamp for each key.

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
use crate::{config, http::api::path::Style, model::id::ClientId};

/// Failed token requests per network (/24 of IPv4, /64 of IPv6) and second.
const FAILURES: u32 = 50;
/// The time span of a client's request limit.
const WINDOW: Duration = Duration::from_secs(10);
/// Sign-in attempts per network and second: each costs 19 MiB of memory and some ten milliseconds.
const SIGN_INS: u32 = 10;
/// A client's limit over all API versions together, as a multiple of the limit in one version.
const ALL_VERSIONS: u32 = 3;
/// Bytes of a filter, and rows skipped before a page, that count as one more request.
const FILTER: usize = 256;
const OFFSET: usize = 10_000;

/// Idle keys are removed once there are more than `KEPT` keys, at every `SWEEP`th check.
const KEPT: usize = 10_000;
const SWEEP: u32 = 1024;

/// The rate limits of this node; `None` means no limit.
pub(crate) struct Limits {
    requests: Option<Limit<(ClientId, Style)>>,
    all_versions: Option<Limit<ClientId>>,
    failures: Limit<IpAddr>,
    sign_ins: Limit<IpAddr>,
}

impl Limits {
    pub(super) fn new(settings: &config::Limits) -> Self {
        Self {
            requests: Limit::new(settings.requests_per_10s, WINDOW),
            all_versions: Limit::new(
                settings.requests_per_10s.saturating_mul(ALL_VERSIONS),
                WINDOW,
            ),
            failures: Limit::always(FAILURES, Duration::from_secs(1)),
            sign_ins: Limit::always(SIGN_INS, Duration::from_secs(1)),
        }
    }

    /// Counts a client's request as `cost` requests (docs/contract.md#rate-limits). The error is
    /// the number of seconds to wait.
    pub(super) fn request(
        &self,
        client: &ClientId,
        style: Style,
        cost: NonZeroU32,
    ) -> Result<(), u64> {
        let (Some(requests), Some(all)) = (&self.requests, &self.all_versions) else {
            return Ok(());
        };
        requests.check_many(&(client.clone(), style), cost)?;
        all.check_many(client, cost)
    }

    /// Counts a failed token request. Only failures are counted and refused, so a client with the
    /// right secret is never refused because of others in its network. The error is the number of
    /// seconds to wait.
    pub(super) fn failure(&self, extensions: &Extensions) -> Result<(), u64> {
        self.failures.check(&network(extensions))
    }

    /// Counts a sign-in attempt, before the expensive password hash. The error is the number of
    /// seconds to wait.
    pub(crate) fn sign_in(&self, extensions: &Extensions) -> Result<(), u64> {
        self.sign_ins.check(&network(extensions))
    }
}

/// The number of requests that one request counts as: the store reads more for a long filter and
/// for a high offset.
pub(super) fn cost(query: Option<&str>) -> NonZeroU32 {
    let mut more = 0;
    // Names are decoded as the handlers decode them: `%6Fffset` is `offset`.
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        more += match &*name {
            "filters" => value.len().div_ceil(FILTER),
            "offset" => value.parse::<usize>().unwrap_or(0) / OFFSET,
            _ => 0,
        };
    }
    u32::try_from(more).map_or(NonZeroU32::MAX, |more| NonZeroU32::MIN.saturating_add(more))
}

/// At most `most` requests per key and time span, all of them in one burst if need be.
struct Limit<K: Hash + Eq + Clone> {
    most: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// `None`, that is no limit, if `most` is 0.
    fn new(most: u32, span: Duration) -> Option<Self> {
        NonZeroU32::new(most).map(|_| Self::always(most, span))
    }

    fn always(most: u32, span: Duration) -> Self {
        let burst = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(span / burst.get())
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst);
        Self { most: burst, limiter: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
    }

    fn check(&self, key: &K) -> Result<(), u64> {
        self.check_many(key, NonZeroU32::MIN)
    }

    /// Counts as `count` requests, but at most as one whole burst: the limiter cannot count more.
    fn check_many(&self, key: &K, count: NonZeroU32) -> Result<(), u64> {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks.is_multiple_of(SWEEP) && self.limiter.len() > KEPT {
            self.limiter.retain_recent();
        }
        let checked = self.limiter.check_key_n(key, count.min(self.most));
        checked.unwrap_or(Ok(())).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

/// The network of a request's client, in the size that one party usually has: /24 or /64.
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
    use crate::http::api::ClientAddress;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn of(requests_per_10s: u32) -> Limits {
        Limits::new(&config::Limits { requests_per_10s, ..Default::default() })
    }

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let limits = of(100);
        let (one, other) = (ClientId::new(), ClientId::new());
        for _ in 0..100 {
            assert_eq!(limits.request(&one, Style::V3, ONE), Ok(()));
        }
        assert_eq!(limits.request(&one, Style::V3, ONE), Err(1));
        assert_eq!(limits.request(&one, Style::V1, ONE), Ok(()), "each version has its own");
        assert_eq!(limits.request(&other, Style::V3, ONE), Ok(()), "each client has its own");
    }

    #[test]
    fn all_versions_together_take_three_times_as_many() {
        let limits = of(100);
        let client = ClientId::new();
        let styles = [Style::V1, Style::V3, Style::Beta, Style::Latest];
        let passed =
            (0..400).filter(|n| limits.request(&client, styles[n % 4], ONE).is_ok()).count();
        assert!((300..305).contains(&passed), "{passed}");
    }

    #[test]
    fn a_costly_list_counts_as_several() {
        for (query, expected) in [
            ("limit=250&offset=9999", 1),
            ("filters=name+sw+%22a%22", 2),
            (&format!("filters={}", "x".repeat(2560)), 11),
            ("offset=100000&count=true", 11),
            ("%6Fffset=100000", 11),
            ("offset=%31%30%30000", 11),
            (&format!("%66ilters={}", "%78".repeat(2560)), 11),
            (&format!("filters={}", "%78".repeat(256)), 2),
        ] {
            assert_eq!(cost(Some(query)).get(), expected, "{query}");
        }
        assert_eq!(cost(None), ONE);
        let (limits, client) = (of(100), ClientId::new());
        let ten = NonZeroU32::new(10).unwrap();
        assert!((0..10).all(|_| limits.request(&client, Style::V3, ten).is_ok()));
        assert_eq!(limits.request(&client, Style::V3, ten), Err(1));
        assert!(limits.request(&ClientId::new(), Style::V3, NonZeroU32::MAX).is_ok());
    }

    #[test]
    fn a_slow_limit_says_how_long() {
        let limit = Limit::always(1, Duration::from_secs(10));
        assert_eq!(limit.check(&1), Ok(()));
        assert_eq!(limit.check(&1), Err(10));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = of(0);
        let client = ClientId::new();
        assert!((0..1000).all(|_| limits.request(&client, Style::V3, ONE).is_ok()));
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
