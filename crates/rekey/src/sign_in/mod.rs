//! A person signs in, with the password of the built-in source named `IdentityNow`.
//!
//! Names that fail again and again have to wait (`throttle`), and hashing is shared out among
//! networks (`queue`). Nothing distinguishes a locked name from a wrong password, nor either from
//! a name nobody has: the same work is done for all, and they are answered at multiples of 50 ms,
//! which hides the microseconds in which it differs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use rekey_vault::Password;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use self::{
    queue::{Queue, Turn},
    throttle::{Counter, Throttle},
};
use crate::{
    Error,
    audit::{Attempt, Party, Trail, attempted},
    connector::built_in::BuiltIn,
    model::{
        audit::Origin,
        identity::{Identity, may_be_alias, name_key},
        source::IDENTITY_NOW,
        time::Clock,
    },
    store::{Audit, Store, Tx},
};

mod queue;
mod throttle;

/// Why an attempt at a name that nobody has is refused.
const UNKNOWN: &str = "there is no such name";
/// Its name in the audit trail.
const SIGN_IN: &str = "USER_SIGN_IN";

/// Whoever may not sign in is told so a whole number of these after they asked. One is more than
/// the password's verifier takes where nothing waits.
const BEAT: Duration = Duration::from_millis(50);

/// Who tries to sign in on this node.
pub struct SignIns {
    store: Store,
    clock: Clock,
    audit: Arc<Trail>,
    throttle: Throttle,
    queue: Arc<Queue>,
}

/// A person who has signed in.
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// How often the password they signed in with had been changed.
    pub generation: i64,
}

/// Where an attempt comes from, as one party is usually given it: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// This machine: where a command is run.
    pub const LOCAL: Self = Self(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// The block that it lies in, as one customer may rent it cheaply: an IPv4 /24 or an IPv6 /48.
    fn block(self) -> Self {
        Self(match self.0 {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() >> 8 << 8)),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80)),
        })
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl SignIns {
    /// Nobody has tried yet.
    pub fn new(store: Store, clock: Clock, audit: Arc<Trail>) -> Self {
        Self { store, clock, audit, throttle: Throttle::default(), queue: Arc::default() }
    }

    /// The person, if the name and the password are right and they may sign in; else nobody, on
    /// the next beat. [`Error::Busy`] if too many others try.
    pub async fn sign_in(
        self: &Arc<Self>,
        from: Network,
        alias: &str,
        password: Password,
    ) -> Result<Option<SignedIn>, Error> {
        let asked = Instant::now();
        let who = self.who_signs_in(from, alias, password).await;
        if !matches!(who, Ok(Some(_))) {
            sleep_until(asked + next_beat(asked.elapsed())).await;
        }
        who
    }

    async fn who_signs_in(
        self: &Arc<Self>,
        from: Network,
        alias: &str,
        password: Password,
    ) -> Result<Option<SignedIn>, Error> {
        if !may_be_alias(alias) {
            self.store.metrics().sign_in(false);
            self.record_refusal(None, UNKNOWN);
            return Ok(None);
        }
        let name = name_key(alias);
        let Self { throttle, queue, .. } = &**self;
        let counter = throttle.counter(&name, from);
        let turn = queue.turn(counter.key(), from).await;
        let turn = turn.ok_or(Error::Busy("too many people try to sign in just now"))?;
        // A client that goes away drops this future. An attempt whose turn has come goes on in a task
        // of its own all the same: it is counted and recorded.
        let attempt = self.clone().compare(name, password, counter, turn);
        let task = tokio::spawn(Origin::carried(attempt.in_current_span()));
        task.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    /// Compares the password, and counts and records the attempt.
    async fn compare(
        self: Arc<Self>,
        name: String,
        password: Password,
        counter: Counter,
        turn: Turn,
    ) -> Result<Option<SignedIn>, Error> {
        let throttle = &self.throttle;
        let wanted = name.clone();
        // The generation is read before the verifier: a password that is changed meanwhile ends what
        // this sign-in gets.
        let (source, found) = self
            .store
            .read(move |tx: &mut Tx<'_>| -> Result<_, Error> {
                let found = match tx.identity_with_alias(&wanted)? {
                    Some(identity) => {
                        let generation = tx.sign_in_generation(&identity.id)?;
                        Some(SignedIn { identity, generation })
                    }
                    None => None,
                };
                Ok((tx.source_named(IDENTITY_NOW)?, found))
            })
            .await?;
        let identity = found.as_ref().map(|found| &found.identity);
        let source = source.ok_or_else(|| {
            Error::Setup(format!("there is no source named {IDENTITY_NOW}: nobody can sign in"))
        })?;
        let native = identity.map_or(name.as_str(), |identity| identity.alias.as_str());
        // Locked or not, known or not: the same work.
        let link = BuiltIn::new(self.store.clone(), source.id);
        let (right, turn) = link.compare(native, &password, turn).await?;
        let now = self.clock.now();
        let locked = throttle.is_locked(counter, now);
        let why = match identity {
            _ if locked => Some("the name is locked after failures"),
            None => Some(UNKNOWN),
            Some(_) if !right => Some("the password is wrong"),
            Some(identity) if !identity.enabled => Some("the identity is disabled"),
            Some(_) => None,
        };
        match why {
            None => throttle.succeeded(counter),
            Some(_) if locked || identity.is_none() => {}
            Some(_) => throttle.failed(counter, now),
        }
        // The next attempt at this name sees what this one counted.
        drop(turn);
        self.store.metrics().sign_in(why.is_none());
        match (why, identity) {
            (None, Some(identity)) => self.record_sign_in(identity.id.to_string()).await?,
            (Some(why), identity) => self.record_refusal(identity, why),
            (None, None) => {}
        }
        Ok(found.filter(|_| why.is_none()))
    }

    /// Names that nobody has share one budget: a flood of them hides no try for a real name.
    fn record_refusal(&self, identity: Option<&Identity>, why: &'static str) {
        let party = match identity {
            None => Party::Strangers,
            Some(identity) if identity.capabilities.0.is_empty() => {
                Party::Known(identity.id.to_string())
            }
            Some(identity) => Party::Administrator(identity.id.to_string()),
        };
        let attempt = Attempt {
            actor: UNKNOWN,
            action: SIGN_IN,
            object: identity.map_or(UNKNOWN, |identity| identity.id.as_str()),
            why: Some(why),
            detail: serde_json::json!({}),
            party,
        };
        attempted(&self.audit, attempt);
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
    fn a_network_is_an_address_or_what_one_customer_is_given() {
        let of = |ip: &str| Network::from(ip.parse::<IpAddr>().unwrap()).0.to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        let block = |ip: &str| Network::from(ip.parse::<IpAddr>().unwrap()).block().0.to_string();
        assert_eq!(block("192.0.2.7"), "192.0.2.0");
        assert_eq!(block("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
    }
}
