//! Signs people in with their passwords on the built-in source `IdentityNow`.
//!
//! Names are locked for a time after failures (`throttle`), and password hashing is shared fairly
//! among networks (`queue`). A caller can distinguish neither a locked name nor an unknown one from
//! a wrong password: all three cost the same work, and refusals are answered at multiples of 50 ms,
//! which hides the remaining differences of microseconds.

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

/// The reason for the refusal of a name that does not exist; only the audit trail shows it.
const UNKNOWN: &str = "there is no such name";
/// The action's name in the audit trail.
const SIGN_IN: &str = "USER_SIGN_IN";

/// Refusals are answered at multiples of this time after the request. One is longer than verifying
/// a password takes if nothing waits.
const BEAT: Duration = Duration::from_millis(50);

/// The sign-ins of this node.
pub struct SignIns {
    store: Store,
    clock: Clock,
    audit: Arc<Trail>,
    throttle: Throttle,
    queue: Arc<Queue>,
}

/// A person who has signed in.
pub struct SignedIn {
    /// The person.
    pub identity: Identity,
    /// The number of changes that their sign-in password had had when they signed in.
    pub generation: i64,
}

/// The origin of an attempt, in the size that one party usually has: an IPv4 address or an IPv6
/// /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// This machine, as the origin of commands.
    pub const LOCAL: Self = Self(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// The block that contains the network, in the size that one customer can rent cheaply: an IPv4
    /// /24 or an IPv6 /48.
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
    /// The state at the start of the process, without failures.
    pub fn new(store: Store, clock: Clock, audit: Arc<Trail>) -> Self {
        Self { store, clock, audit, throttle: Throttle::default(), queue: Arc::default() }
    }

    /// Returns the person if name and password are right and the person may sign in; otherwise
    /// returns `None` at a multiple of 50 ms after the call. [`Error::Busy`] if too many other
    /// attempts wait.
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
        // If the client disconnects, this future is dropped. An attempt whose turn has come is
        // finished in a task of its own, so that it is counted and recorded nevertheless.
        let attempt = self.clone().compare(name, password, counter, turn);
        let task = tokio::spawn(Origin::carried(attempt.in_current_span()));
        task.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    /// Verifies the password, then counts and records the attempt.
    async fn compare(
        self: Arc<Self>,
        name: String,
        password: Password,
        counter: Counter,
        turn: Turn,
    ) -> Result<Option<SignedIn>, Error> {
        let throttle = &self.throttle;
        let wanted = name.clone();
        // The generation is read before the verifier: if the password changes in between, the older
        // generation makes the tokens of this sign-in invalid.
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
        // Locked and unknown names cost the same work as others.
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
        // The turn ends only now, so that the next attempt at this name sees the new count.
        drop(turn);
        self.store.metrics().sign_in(why.is_none());
        match (why, identity) {
            (None, Some(identity)) => self.record_sign_in(identity.id.to_string()).await?,
            (Some(why), identity) => self.record_refusal(identity, why),
            (None, None) => {}
        }
        Ok(found.filter(|_| why.is_none()))
    }

    /// Records a refusal. All unknown names share one audit budget, so that a flood of them cannot
    /// hide an attempt at a real name.
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

    /// Records a sign-in. The person is signed in only if the row was committed.
    async fn record_sign_in(&self, who: String) -> Result<(), Error> {
        self.store
            .write(move |tx: &mut Tx<'_>| -> Result<(), Error> {
                let (actor, object, detail) = (who.as_str(), who.as_str(), serde_json::json!({}));
                Ok(tx.audit(Audit { actor, action: SIGN_IN, object, detail })?)
            })
            .await
    }
}

/// The first multiple of `BEAT` after `elapsed`.
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
