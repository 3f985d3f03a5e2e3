//! OpenLDAP and other directories that have the Password Modify operation (RFC 3062).
//!
//! A change is one extended operation on a pooled connection. The directory hashes the password and
//! judges it by its own policy, as long as its access rules give `bindDn` `write`, not `manage`, on
//! `userPassword`: with `manage`, OpenLDAP skips the policy.
//!
//! The change stamp is a hash of the stored, salted hash of the password, where `bindDn` may read it
//! (OpenLDAP's `write` includes that): it moves with every change and with nothing else. Otherwise
//! it is `pwdChangedTime` and `entryCSN`: the first has a resolution of one second, and the second
//! moves with any change of the entry, so that an unrelated one looks like a change of the password.
//! A failed login is such a change under OpenLDAP's ppolicy overlay.
//!
//! OpenLDAP 2.5 refuses the assertion control (RFC 4528) on this operation (result 12), so the stamp
//! is compared by a search on the same connection right before: the window is one round trip.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::{
    connection::{Broken, Found},
    door::{Door, Lease, Pool},
    entry::Entry,
    filter::Filter,
    listing::LOCKED_FOR_GOOD,
    message::{Answer, Request, Scope},
    ppolicy::Refusal,
};
use crate::{
    Account, Change, Connector, Egress, Fault, FaultKind, Feature, Kind, Listed, Observed, Outcome,
    Rejection, Stamp, Verdict, Verification,
    net::OPERATION,
    scrub::{plain, scrub},
};

#[cfg(feature = "conformance")]
mod administration;
mod answer;
mod ber;
mod config;
mod connection;
mod dn;
mod door;
mod entry;
mod filter;
mod listing;
mod message;
mod ppolicy;
mod stamp;

#[cfg(feature = "conformance")]
pub use self::administration::Administration;
pub use self::config::Config;

/// A directory.
pub struct Directory {
    config: Arc<Config>,
    /// Which entries are accounts.
    filter: Filter,
    /// Every entry.
    any: Filter,
    pool: Pool,
}

impl Kind for Directory {
    const NAME: &'static str = "ldap";
    const DISPLAY_NAME: &'static str = "OpenLDAP";
    const FEATURES: &'static [Feature] = &[Feature::Authenticate, Feature::Password];
    const SECRETS: &'static [&'static str] = &["bindPassword"];
    const STABLE_ID: bool = false;
    const IGNORES_CASE: bool = true;
    const VERIFICATION: Verification = Verification::Stamp;
    type Config = Config;

    fn open(config: Config, egress: &Egress) -> Result<Self, Fault> {
        let tls = config.check()?;
        let filter = config.filter()?;
        let config = Arc::new(config);
        let door = Door { config: Arc::clone(&config), tls, egress: egress.clone() };
        let pool = Pool::new(door, config.max_connections);
        Ok(Self { config, filter, any: Filter::any(), pool })
    }
}

#[async_trait]
impl Connector for Directory {
    async fn test(&self) -> Result<(), Fault> {
        let (lease, found) = self.base().await?;
        lease.give_back(&self.pool);
        match found {
            Some(_) => Ok(()),
            None => Err(Fault::new(
                FaultKind::Misconfigured,
                "baseDn is not in the directory, or bindDn may not see it",
            )),
        }
    }

    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault> {
        // Also proves that a pooled connection is alive.
        let (lease, _) = self.base().await?;
        self.list(lease, to).await
    }

    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault> {
        self.check_scope(account.native_identity)?;
        let (lease, found) = self.account(account.native_identity).await?;
        lease.give_back(&self.pool);
        Ok(Observed { stamp: changeable(found.as_ref())?, ..Observed::default() })
    }

    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome {
        if change.password.expose().is_empty() {
            // RFC 3062, section 2: the directory would make up a password of its own.
            return Outcome::Rejected(Rejection {
                message: "the password is empty".to_owned(),
                reused: false,
            });
        }
        match self.prepared(change.account.native_identity, observed, deadline).await {
            Ok(lease) => self.modify(lease, change, deadline).await,
            Err(fault) => Outcome::NotApplied(fault),
        }
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        self.check_scope(change.account.native_identity)?;
        if change.password.expose().is_empty() {
            // RFC 4513, section 5.1.2: an empty password signs in nobody, with success.
            return Ok(Verdict::No);
        }
        let (lease, found) = self.account(change.account.native_identity).await?;
        lease.give_back(&self.pool);
        let entry = found.ok_or_else(no_account)?;
        if entry.first("pwdAccountLockedTime").is_some() {
            return Ok(Verdict::CannotTell);
        }
        self.sign_in_once(change).await
    }
}

impl Directory {
    /// Refuses everything outside `baseDn`, rekey's own account and those that are protected.
    fn check_scope(&self, native_identity: &str) -> Result<(), Fault> {
        self.config.protected_accounts.check(native_identity)?;
        if dn::is_same(native_identity, &self.config.bind_dn) {
            return Err(Fault::new(
                FaultKind::NotPermitted,
                "this is the account that rekey itself signs in with",
            ));
        }
        if dn::is_below(native_identity, &self.config.base_dn) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::NoAccount, "the account is not below the source's baseDn"))
    }

    /// Reads an account, on a connection that has just proved to be alive.
    async fn account(&self, native_identity: &str) -> Result<(Lease, Option<Entry>), Fault> {
        let lease = self.pool.take().await?;
        self.read(lease, native_identity, &self.filter).await
    }

    /// Reads the entry that the accounts are below.
    async fn base(&self) -> Result<(Lease, Option<Entry>), Fault> {
        let lease = self.pool.take().await?;
        self.read(lease, &self.config.base_dn, &self.any).await
    }

    /// Reads the one entry at `base`. A pooled connection that turns out to be dead is replaced.
    async fn read(
        &self,
        mut lease: Lease,
        base: &str,
        filter: &Filter,
    ) -> Result<(Lease, Option<Entry>), Fault> {
        let (answer, entry) = loop {
            match one(&mut lease, base, filter).await {
                Ok(found) => break found,
                Err(_) if lease.is_reused => lease = self.pool.renew(lease).await?,
                Err(broken) => return Err(broken.fault),
            }
        };
        match answer.code {
            0 => Ok((lease, entry)),
            32 | 34 => Ok((lease, None)),
            _ => {
                lease.give_back(&self.pool);
                Err(answer::fault(&answer, &plain(&answer.text)))
            }
        }
    }

    /// Everything before the write: still in scope, still as observed, still in time.
    async fn prepared(
        &self,
        native_identity: &str,
        observed: &Stamp,
        deadline: Instant,
    ) -> Result<Lease, Fault> {
        self.check_scope(native_identity)?;
        check_deadline(deadline)?;
        let (lease, found) = self.account(native_identity).await?;
        let checked = changeable(found.as_ref()).and_then(|stamp| {
            if observed.is_known() && stamp != *observed {
                return Err(crate::fault::conflict());
            }
            Ok(())
        });
        match checked {
            Ok(()) => Ok(lease),
            Err(fault) => {
                lease.give_back(&self.pool);
                Err(fault)
            }
        }
    }

    /// The write: sent once, whatever happens, and not late.
    async fn modify(&self, mut lease: Lease, change: &Change<'_>, deadline: Instant) -> Outcome {
        let request =
            Request::password_modify(change.account.native_identity, change.password.expose());
        if let Err(fault) = check_deadline(deadline) {
            lease.give_back(&self.pool);
            return Outcome::NotApplied(fault);
        }
        crate::proof::pause_at("ldap.write");
        match lease.connection.call(OPERATION, request, &[ppolicy::request()]).await {
            Ok(answer) => {
                lease.give_back(&self.pool);
                answer::outcome(&answer, &scrub(&answer.text, change.password))
            }
            Err(broken) if broken.is_sent => Outcome::Unknown(broken.fault),
            Err(broken) => Outcome::NotApplied(broken.fault),
        }
    }

    /// One login with the password, on a connection of its own.
    async fn sign_in_once(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let _slot = self.pool.slot().await?;
        let mut connection = self.pool.door.connect().await?;
        let bind = Request::bind(change.account.native_identity, change.password.expose());
        let answer = connection.call(OPERATION, bind, &[ppolicy::request()]).await;
        let answer = answer.map_err(|broken| broken.fault)?;
        Ok(match (answer.code, ppolicy::refusal(&answer)) {
            // The policy tells an expired password only to who knows it.
            (0, _) | (49, Some(Refusal::Expired | Refusal::ChangeAfterReset)) => Verdict::Yes,
            (49, None) => Verdict::No,
            _ => Verdict::CannotTell,
        })
    }
}

/// Reads the one entry at `base`.
async fn one(
    lease: &mut Lease,
    base: &str,
    filter: &Filter,
) -> Result<(Answer, Option<Entry>), Broken> {
    let connection = &mut lease.connection;
    let search = Request::search(base, Scope::Base, filter, &stamp::ATTRIBUTES);
    connection.search(OPERATION, search, &[]).await?;
    let mut entry = None;
    loop {
        match connection.found(OPERATION, &stamp::ATTRIBUTES).await? {
            Found::Done(answer) => return Ok((answer, entry)),
            Found::Entry(found) if entry.is_none() => entry = Some(found),
            // There is one entry at a name, and nothing to refer to.
            Found::Entry(_) | Found::Other => {
                return Err(Broken { is_sent: true, fault: connection::malformed() });
            }
        }
    }
}

/// The change stamp of an account whose password may be changed now.
///
/// An account that locked itself by failed logins may: setting a password is how such a lock is
/// meant to end, and OpenLDAP lifts it. One that an administrator locked may not, because OpenLDAP
/// would lift that too.
fn changeable(entry: Option<&Entry>) -> Result<Stamp, Fault> {
    let entry = entry.ok_or_else(no_account)?;
    if entry.first("pwdAccountLockedTime") == Some(LOCKED_FOR_GOOD) {
        return Err(Fault::new(
            FaultKind::Locked,
            "an administrator locked the account in the directory: have it unlocked there",
        ));
    }
    Ok(stamp::of(entry))
}

fn no_account() -> Fault {
    Fault::new(
        FaultKind::NoAccount,
        "the account is not in the directory, or does not match the source's accountFilter",
    )
}

fn check_deadline(deadline: Instant) -> Result<(), Fault> {
    if Instant::now() < deadline { Ok(()) } else { Err(crate::fault::late()) }
}
