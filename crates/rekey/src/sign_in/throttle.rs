//! The lock-out after wrong passwords, counted for each name.
//!
//! A name is locked for 1 s after a failure, then for 3, 5 and 10 s, and for a minute after 100
//! failures in a day. Each network from which a name has signed in has a counter of its own, so
//! that an attacker elsewhere cannot lock out the owner at home. Only existing names are counted:
//! other attempts fail without a counter, so invented names cannot evict the counters of real ones.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::unsync::Cache;

use super::Network;
use crate::model::time::Micros;

/// Failures in a day after which one attempt a minute is possible.
const MOST: u32 = 100;
/// The time after which failures are forgotten, counted from the first.
const DAY: Duration = Duration::from_hours(24);
/// The most names with counters; the least used are evicted first.
const NAMES: usize = 100_000;
/// The most networks remembered for one name; the one used longest ago is forgotten first.
const NETWORKS: usize = 8;

/// The counters of this node. Their keys are hashes under a random key: all have the same size, and
/// an attacker cannot choose names that collide.
pub(super) struct Throttle {
    key: RandomState,
    counters: Mutex<Counters>,
}

struct Counters {
    /// Failures by name, from networks that the name has not signed in from.
    strangers: Cache<u64, Failures>,
    /// By name, the networks that it has signed in from, each with its failures.
    homes: Cache<u64, Vec<(u64, Failures)>>,
}

/// The counter that an attempt counts against.
#[derive(Clone, Copy)]
pub(super) struct Counter {
    name: u64,
    network: u64,
    /// Whether the name has signed in from this network before.
    pub(super) is_home: bool,
}

impl Counter {
    /// The key that all attempts of this counter share.
    pub(super) fn key(self) -> (u64, Option<u64>) {
        (self.name, self.is_home.then_some(self.network))
    }
}

impl Default for Throttle {
    fn default() -> Self {
        let counters = Counters { strangers: Cache::new(NAMES), homes: Cache::new(NAMES) };
        Self { key: RandomState::new(), counters: Mutex::new(counters) }
    }
}

impl Throttle {
    /// The counter of an attempt at `name`, which must be in its normalised form.
    pub(super) fn counter(&self, name: &str, from: Network) -> Counter {
        let (name, network) = (self.key.hash_one(name), self.key.hash_one(from));
        let homes = &self.counters().homes;
        let is_home = homes.get(&name).is_some_and(|homes| at(homes, network).is_some());
        Counter { name, network, is_home }
    }

    /// Whether attempts of this counter must fail now.
    pub(super) fn is_locked(&self, counter: Counter, now: Micros) -> bool {
        let counters = self.counters();
        let failures = if counter.is_home {
            let homes = counters.homes.get(&counter.name);
            homes.and_then(|homes| at(homes, counter.network)).map(|(_, failures)| *failures)
        } else {
            counters.strangers.get(&counter.name).copied()
        };
        failures.is_some_and(|failures| failures.lock(now))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, counter: Counter, now: Micros) {
        let mut counters = self.counters();
        if !counter.is_home {
            let failures = counters.strangers.get(&counter.name).copied().unwrap_or(Failures::NONE);
            counters.strangers.insert(counter.name, failures.and_one(now));
        } else if let Some(mut homes) = counters.homes.get_mut(&counter.name) {
            for (_, failures) in homes.iter_mut().filter(|(home, _)| *home == counter.network) {
                *failures = failures.and_one(now);
            }
        }
    }

    /// Clears this counter and remembers the network. The counters of other networks stay, so that
    /// the owner's sign-ins give an attacker elsewhere no further guesses.
    pub(super) fn succeeded(&self, counter: Counter) {
        let mut counters = self.counters();
        if !counter.is_home {
            counters.strangers.remove(&counter.name);
        }
        let mut homes = counters.homes.get(&counter.name).cloned().unwrap_or_default();
        homes.retain(|(home, _)| *home != counter.network);
        let surplus = (homes.len() + 1).saturating_sub(NETWORKS);
        homes.drain(..surplus);
        homes.push((counter.network, Failures::NONE));
        counters.homes.insert(counter.name, homes);
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(homes: &[(u64, Failures)], network: u64) -> Option<&(u64, Failures)> {
    homes.iter().find(|(home, _)| *home == network)
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    first: Micros,
    last: Micros,
}

impl Failures {
    const NONE: Self = Self { count: 0, first: Micros(0), last: Micros(0) };

    /// The failures with one more; they start anew a day after the first.
    fn and_one(self, now: Micros) -> Self {
        let day = self.count > 0 && self.first.plus(DAY) > now;
        let (count, first) = if day { (self.count, self.first) } else { (0, now) };
        Self { count: count.saturating_add(1), first, last: now }
    }

    /// Whether the pause after the last failure is still running. A clock that was set back locks
    /// nobody out.
    fn lock(self, now: Micros) -> bool {
        let pause = Duration::from_secs(match self.count {
            0 => return false,
            1..=3 => 1,
            4..=8 => 3,
            9..=24 => 5,
            25..MOST => 10,
            MOST.. => 60,
        });
        (self.last..self.last.plus(pause)).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn network(last: u8) -> Network {
        Network::from(IpAddr::from(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[test]
    fn the_pause_grows_to_a_minute_and_ends_with_the_day() {
        let throttle = Throttle::default();
        let counter = |name| throttle.counter(name, network(1));
        let (mut now, second) = (Micros(0), Duration::from_secs(1));
        assert!(!throttle.is_locked(counter("abby"), now));
        let pauses = [(1, 3), (3, 5), (5, 16), (10, 75), (60, 50)];
        for seconds in pauses.into_iter().flat_map(|(seconds, times)| vec![seconds; times]) {
            throttle.failed(counter("abby"), now);
            let almost = now.plus(second.mul_f64(f64::from(seconds) - 0.5));
            assert!(throttle.is_locked(counter("abby"), almost), "{seconds} s");
            assert!(!throttle.is_locked(counter("bob"), almost));
            now = now.plus(second * seconds);
            assert!(!throttle.is_locked(counter("abby"), now), "{seconds} s");
        }
        now = Micros(0).plus(DAY);
        throttle.failed(counter("abby"), now);
        assert!(!throttle.is_locked(counter("abby"), now.plus(second)), "a new day");
        throttle.succeeded(counter("abby"));
        assert!(!throttle.is_locked(counter("abby"), now));
    }

    #[test]
    fn a_network_that_signed_in_has_a_counter_of_its_own() {
        let throttle = Throttle::default();
        let (home, elsewhere, now) = (network(1), network(2), Micros(0));
        let fail = |from| throttle.failed(throttle.counter("abby", from), now);
        let locked = |from| throttle.is_locked(throttle.counter("abby", from), now);
        throttle.succeeded(throttle.counter("abby", home));
        assert!(!locked(home) && !locked(elsewhere));
        fail(elsewhere);
        assert!(locked(elsewhere) && !locked(home));
        throttle.succeeded(throttle.counter("abby", home));
        assert!(locked(elsewhere), "the owner's sign-in gives an attacker no further guess");
        fail(home);
        assert!(locked(home));
        throttle.succeeded(throttle.counter("abby", home));
        assert!(!locked(home) && locked(elsewhere));
    }

    #[test]
    fn the_networks_of_a_name_are_bounded() {
        let throttle = Throttle::default();
        for last in 0..=u8::MAX {
            throttle.succeeded(throttle.counter("abby", network(last)));
            // Network 0 stays in use, so it is kept.
            throttle.succeeded(throttle.counter("abby", network(0)));
        }
        let homes = (0..=u8::MAX).filter(|last| throttle.counter("abby", network(*last)).is_home);
        assert_eq!(homes.collect::<Vec<_>>(), [0, 249, 250, 251, 252, 253, 254, 255]);
    }
}
