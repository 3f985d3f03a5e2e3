//! A person signs in, with the password of the built-in source named `IdentityNow`.
//!
//! A name that fails again and again is locked softly: 1 s, then 3, 5 and 10, and after 100
//! failures in a day for the rest of it (NIST SP 800-63B-4, section 3.2.2, allows 100). Nothing
//! tells a locked name from a wrong password, nor either from a name nobody has: the same work is
//! done for all, and they are told on a beat, which hides the microseconds in which it differs.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use quick_cache::sync::Cache;
use rekey_vault::Password;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep_until},
};

use crate::{
    App, Error, audit,
    builtin::BuiltIn,
    clock::Micros,
    identity::{Identity, name_key},
    source::IDENTITY_NOW,
    store::{Audit, Tx},
};

/// Its name in the audit trail.
const SIGN_IN: &str = "USER_SIGN_IN";

/// Failures in a day that end the day for a name.
const MOST: u32 = 100;
/// How long failures are remembered.
const DAY: Duration = Duration::from_hours(24);
/// Names with failures remembered; the least used are forgotten first.
const NAMES: usize = 100_000;
/// Whoever may not sign in is told so a whole number of these after they asked. One is more than
/// the password's verifier takes where nothing waits.
const BEAT: Duration = Duration::from_millis(50);

/// Who failed to sign in on this node.
pub struct SignIns {
    failures: Cache<String, Failures>,
    /// One attempt at a time for a name, so that many at once are not many tries.
    turns: [Mutex<()>; 16],
}

impl Default for SignIns {
    fn default() -> Self {
        Self { failures: Cache::new(NAMES), turns: Default::default() }
    }
}

impl App {
    /// The person, if the name and the password are right and they may sign in; else nobody, on
    /// the next beat.
    pub async fn sign_in(
        &self,
        alias: &str,
        password: &Password,
    ) -> Result<Option<Identity>, Error> {
        let asked = Instant::now();
        let who = self.who_signs_in(alias, password).await;
        if !matches!(who, Ok(Some(_))) {
            sleep_until(asked + next_beat(asked.elapsed())).await;
        }
        who
    }

    async fn who_signs_in(
        &self,
        alias: &str,
        password: &Password,
    ) -> Result<Option<Identity>, Error> {
        let key = name_key(alias);
        let _turn = self.sign_ins.turn(&key).await;
        let name = key.clone();
        let (source, identity) = self
            .store
            .read(move |tx: &mut Tx<'_>| -> Result<_, Error> {
                Ok((tx.source_named(IDENTITY_NOW)?, tx.identity_with_alias(&name)?))
            })
            .await?;
        let source = source.ok_or_else(|| {
            Error::Setup(format!("there is no source named {IDENTITY_NOW}: nobody can sign in"))
        })?;
        let native = identity.as_ref().map_or(key.as_str(), |identity| identity.alias.as_str());
        // Locked or not, known or not: the same work.
        let right = BuiltIn::new(self.store.clone(), source.id).sign_in(native, password).await?;
        let now = self.clock.now();
        let locked = self.sign_ins.is_locked(&key, now);
        let why = match &identity {
            _ if locked => Some("the name is locked after failures"),
            None => Some("there is no such name"),
            Some(_) if !right => Some("the password is wrong"),
            Some(identity) if !identity.enabled => Some("the identity is disabled"),
            Some(_) => None,
        };
        if !locked {
            self.sign_ins.count(key, now, why.is_some());
        }
        self.metrics().sign_in(why.is_none());
        let who = identity.as_ref().map(|identity| identity.id.as_str().to_owned());
        match (why, who) {
            (None, Some(who)) => self.record_sign_in(who).await?,
            (Some(why), who) => audit::refused(self, SIGN_IN, who.as_deref(), why).await,
            (None, None) => {}
        }
        Ok(identity.filter(|_| why.is_none()))
    }

    /// Nobody signs in unrecorded.
    async fn record_sign_in(&self, who: String) -> Result<(), Error> {
        self.store
            .write(move |tx: &mut Tx<'_>| -> Result<(), Error> {
                let (actor, object, detail) = (who.as_str(), who.as_str(), serde_json::json!({}));
                Ok(tx.audit(Audit { actor, action: SIGN_IN, object, detail })?)
            })
            .await
    }
}

/// The first beat that is not over after so long.
fn next_beat(elapsed: Duration) -> Duration {
    let over = elapsed.as_nanos() / BEAT.as_nanos();
    BEAT * u32::try_from(over).unwrap_or(0).saturating_add(1)
}

impl SignIns {
    async fn turn(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % 16).unwrap_or(0);
        Some(self.turns.get(at)?.lock().await)
    }

    fn is_locked(&self, key: &str, now: Micros) -> bool {
        self.failures.get(key).is_some_and(|failures| failures.lock(now))
    }

    fn count(&self, key: String, now: Micros, failed: bool) {
        if failed {
            self.remember(key, now);
        } else {
            self.forget(&key);
        }
    }

    fn remember(&self, key: String, now: Micros) {
        let failures = self.failures.get(&key).filter(|failures| failures.first.plus(DAY) > now);
        let first = failures.map_or(now, |failures| failures.first);
        let count = failures.map_or(0, |failures| failures.count) + 1;
        self.failures.insert(key, Failures { count, first, last: now });
    }

    fn forget(&self, key: &str) {
        self.failures.remove(key);
    }
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    first: Micros,
    last: Micros,
}

impl Failures {
    /// Whether the name is locked. A clock that was set back locks nobody.
    fn lock(self, now: Micros) -> bool {
        let (since, pause) = match self.count {
            0..=3 => (self.last, Duration::from_secs(1)),
            4..=8 => (self.last, Duration::from_secs(3)),
            9..=24 => (self.last, Duration::from_secs(5)),
            25..MOST => (self.last, Duration::from_secs(10)),
            MOST.. => (self.first, DAY),
        };
        (since..since.plus(pause)).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_hides_how_long_the_work_took() {
        let (millisecond, hair) = (Duration::from_millis(1), Duration::from_nanos(1));
        for early in [Duration::ZERO, 18 * millisecond, 18 * millisecond + hair, 49 * millisecond] {
            assert_eq!(next_beat(early), BEAT, "{early:?}");
        }
        for late in [BEAT, 99 * millisecond] {
            assert_eq!(next_beat(late), 2 * BEAT, "{late:?}");
        }
        assert_eq!(next_beat(1_001 * millisecond), 1_050 * millisecond);
    }

    #[test]
    fn the_pause_grows_and_ends() {
        let sign_ins = SignIns::default();
        let (mut now, second) = (Micros(0), Duration::from_secs(1));
        assert!(!sign_ins.is_locked("abby", now));
        for (count, seconds) in
            (1..=99).zip([1; 3].into_iter().chain([3; 5]).chain([5; 16]).chain([10; 75]))
        {
            sign_ins.remember("abby".into(), now);
            assert!(
                sign_ins.is_locked("abby", now.plus(second.mul_f64(f64::from(seconds) - 0.5))),
                "{count}"
            );
            now = now.plus(second * seconds);
            assert!(!sign_ins.is_locked("abby", now), "{count}");
        }
        sign_ins.remember("abby".into(), now);
        assert!(sign_ins.is_locked("abby", Micros(0).plus(DAY / 2)), "a hundred in a day");
        assert!(!sign_ins.is_locked("abby", Micros(0).plus(DAY)));
        assert!(!sign_ins.is_locked("bob", now));
        sign_ins.forget("abby");
        assert!(!sign_ins.is_locked("abby", now));
    }
}
