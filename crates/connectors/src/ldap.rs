//! OpenLDAP and other directories with the Password Modify operation (RFC 3062).
//!
//! A change is one extended operation on a pooled connection. The directory hashes the password and
//! checks it against its own policy, provided that its access rules give `bindDn` `write`, not
//! `manage`, on `userPassword`: with `manage`, OpenLDAP skips the policy.
//!
//! The change stamp is a hash of the stored, salted hash of the password, if `bindDn` may read it
//! (OpenLDAP's `write` includes that): it differs after every change of the password and only then.
//! Otherwise it is `pwdChangedTime`, with a resolution of one second, and `entryCSN`, which differs
//! after any change of the entry: a failed login under OpenLDAP's ppolicy overlay, for example,
//! then looks like a change of the password.
//!
//! OpenLDAP 2.5 refuses the assertion control (RFC 4528) on this operation (result 12), so a search
//! on the same connection compares the stamp right before: the race window is one round trip.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::{
    door::{Door, Lease, Pool},
    entry::{Entry, IDS},
    filter::Filter,
    listing::LOCKED_FOR_GOOD,
    message::Request,
    ppolicy::Refusal,
};
use crate::{
    Account, Attribute, Change, Connector, Egress, Fault, FaultKind, Feature, Kind, Listed,
    Observed, Outcome, Rejection, Stamp, Verdict, Verification, another_account, net::OPERATION,
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
mod own;
mod ppolicy;
mod stamp;

#[cfg(feature = "conformance")]
pub use self::administration::Administration;
pub use self::config::Config;

/// Requests no attribute (RFC 4511, section 4.5.1.8).
const NO_ATTRIBUTE: &str = "1.1";

/// A directory.
pub struct Directory {
    config: Arc<Config>,
    /// The filter that selects the accounts.
    filter: Filter,
    /// The filter that matches every entry.
    any: Filter,
    pool: Pool,
}

impl Kind for Directory {
    const NAME: &'static str = "ldap";
    const DISPLAY_NAME: &'static str = "OpenLDAP";
    const FEATURES: &'static [Feature] = &[Feature::Authenticate, Feature::Password];
    const ATTRIBUTES: &'static [Attribute] = config::ATTRIBUTES;
    const STABLE_ID: bool = true;
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
        // This read also proves that a pooled connection works.
        let (lease, _) = self.base().await?;
        self.list(lease, to).await
    }

    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault> {
        let (lease, entry) = self.account(account).await?;
        lease.give_back(&self.pool);
        Ok(Observed {
            stamp: changeable(&entry)?,
            stable_id: entry.stable_id().map(str::to_owned),
            correlation: self.correlation(&entry, account.correlated_by),
        })
    }

    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome {
        if change.password.expose().is_empty() {
            // RFC 3062, section 2: the directory would generate a password itself.
            return Outcome::Rejected(Rejection {
                message: "the password is empty".to_owned(),
                reused: false,
            });
        }
        match self.prepared(&change.account, observed, deadline).await {
            Ok(lease) => self.modify(lease, change, deadline).await,
            Err(fault) => Outcome::NotApplied(fault),
        }
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        if change.password.expose().is_empty() {
            // RFC 4513, section 5.1.2: a bind with an empty password succeeds anonymously.
            return Ok(Verdict::No);
        }
        let (lease, entry) = self.account(&change.account).await?;
        lease.give_back(&self.pool);
        check_same(&entry, &change.account)?;
        if entry.first("pwdAccountLockedTime").is_some() {
            return Ok(Verdict::CannotTell);
        }
        self.sign_in_once(change).await
    }
}

impl Directory {
    /// Reads an account, on a connection that this read has proved to work.
    ///
    /// Refuses every account that rekey never changes: those outside `baseDn`, rekey's own account
    /// and the protected ones, whatever the spelling of their names.
    async fn account(&self, account: &Account<'_>) -> Result<(Lease, Entry), Fault> {
        let name = account.native_identity;
        if dn::is_same(name, &self.config.bind_dn) {
            return Err(own_account());
        }
        self.config.protected_accounts.check(name)?;
        if !dn::is_below(name, &self.config.base_dn) {
            return Err(Fault::new(
                FaultKind::NoAccount,
                "the account is not below the source's baseDn",
            ));
        }
        let mut attributes = stamp::ATTRIBUTES.to_vec();
        attributes.extend(IDS);
        // A caller may choose the name: request only attributes with which accounts are listed.
        let correlated_by = account.correlated_by.unwrap_or_default();
        let is_listed = |listed: &&str| {
            listed.eq_ignore_ascii_case(correlated_by)
                || (correlated_by == "name" && *listed == self.config.name_attribute)
        };
        attributes.extend(self.wanted().into_iter().filter(is_listed));
        let lease = self.pool.take().await?;
        let (lease, found) = self.read(lease, name, &self.filter, &attributes).await?;
        let checked = found.ok_or_else(no_account).and_then(|entry| {
            self.config.protected_accounts.check(&entry.dn)?;
            if lease.connection.own.is(&entry) { Err(own_account()) } else { Ok(entry) }
        });
        match checked {
            Ok(entry) => Ok((lease, entry)),
            Err(fault) => {
                lease.give_back(&self.pool);
                Err(fault)
            }
        }
    }

    /// The account's values of `attribute`, as an aggregation would list them.
    fn correlation(&self, entry: &Entry, attribute: Option<&str>) -> Vec<String> {
        let listed = self.listed(entry, &self.wanted());
        attribute.map(|attribute| listed.values(attribute)).unwrap_or_default()
    }

    /// Reads the entry that contains the accounts.
    async fn base(&self) -> Result<(Lease, Option<Entry>), Fault> {
        let lease = self.pool.take().await?;
        self.read(lease, &self.config.base_dn, &self.any, &[NO_ATTRIBUTE]).await
    }

    /// Reads the one entry at `base`. A pooled connection that turns out to be broken is replaced.
    async fn read(
        &self,
        mut lease: Lease,
        base: &str,
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<(Lease, Option<Entry>), Fault> {
        let (answer, entry) = loop {
            let ldap = &mut lease.connection.ldap;
            match ldap.read(OPERATION, base, filter, attributes).await {
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
                Err(answer::fault(&answer))
            }
        }
    }

    /// Checks the account, its stamp and the deadline; returns the connection for the write.
    async fn prepared(
        &self,
        account: &Account<'_>,
        observed: &Stamp,
        deadline: Instant,
    ) -> Result<Lease, Fault> {
        check_deadline(deadline)?;
        let (lease, entry) = self.account(account).await?;
        let checked = check_same(&entry, account).and_then(|()| {
            let stamp = changeable(&entry)?;
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

    /// Writes the password: sends one request, never a second one, and none after `deadline`.
    async fn modify(&self, mut lease: Lease, change: &Change<'_>, deadline: Instant) -> Outcome {
        let request =
            Request::password_modify(change.account.native_identity, change.password.expose());
        if let Err(fault) = check_deadline(deadline) {
            lease.give_back(&self.pool);
            return Outcome::NotApplied(fault);
        }
        crate::proof::pause_at("ldap.write");
        match lease.connection.ldap.call(OPERATION, request, &[ppolicy::request()]).await {
            Ok(answer) => {
                lease.give_back(&self.pool);
                answer::outcome(&answer)
            }
            Err(broken) if broken.is_sent => Outcome::Unknown(broken.fault),
            Err(broken) => Outcome::NotApplied(broken.fault),
        }
    }

    /// Signs in once with the password, on a separate connection.
    async fn sign_in_once(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let _slot = self.pool.slot().await?;
        let mut connection = self.pool.door.connect().await?;
        let bind = Request::bind(change.account.native_identity, change.password.expose());
        let answer = connection.call(OPERATION, bind, &[ppolicy::request()]).await;
        let answer = answer.map_err(|broken| broken.fault)?;
        Ok(match (answer.code, ppolicy::refusal(&answer)) {
            // The policy reports an expired password only after the correct password was sent.
            (0, _) | (49, Some(Refusal::Expired | Refusal::ChangeAfterReset)) => Verdict::Yes,
            (49, None) => Verdict::No,
            _ => Verdict::CannotTell,
        })
    }
}

/// Returns the change stamp of an account whose password may be changed now.
///
/// That includes an account locked after failed logins: a new password is the intended way to end
/// such a lock, and OpenLDAP lifts it. An account that an administrator locked is refused, because
/// OpenLDAP would lift that lock as well.
fn changeable(entry: &Entry) -> Result<Stamp, Fault> {
    if entry.first("pwdAccountLockedTime") == Some(LOCKED_FOR_GOOD) {
        return Err(Fault::new(
            FaultKind::Locked,
            "an administrator locked the account in the directory: have it unlocked there",
        ));
    }
    Ok(stamp::of(entry))
}

/// Refuses an account whose name now belongs to another account.
fn check_same(entry: &Entry, account: &Account<'_>) -> Result<(), Fault> {
    match (account.stable_id, entry.stable_id()) {
        (None, _) => Ok(()),
        (Some(known), Some(id)) if id == known => Ok(()),
        (Some(_), Some(_)) => Err(another_account()),
        (Some(_), None) => Err(Fault::new(
            FaultKind::NotPermitted,
            "the directory no longer shows which account this is: let bindDn read entryUUID",
        )),
    }
}

fn own_account() -> Fault {
    Fault::new(FaultKind::NotPermitted, "this is the account that rekey itself signs in with")
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
