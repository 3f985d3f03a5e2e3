//! PostgreSQL roles.
//!
//! The server never receives a password: rekey computes the SCRAM-SHA-256 verifier and sends that,
//! so that only the verifier can reach the server's log or `pg_stat_statements`. The price is that
//! the server cannot check the password (`passwordcheck` receives a verifier only).
//!
//! With a superuser, a change is one transaction that locks the role's row, compares the verifier
//! with the observed one and replaces it; verification compares exactly. With a role that has only
//! CREATEROLE, verifiers cannot be read: there is no stamp, no comparison, and verification is one
//! login.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use rekey_vault::Password;
use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryRow;

use self::{
    door::{Door, Failed, Lease, Pool, Rights, text},
    role::{Role, list, listed, named, role, stamp},
};
use crate::{
    Account, Attribute, Change, Connector, Egress, Fault, FaultKind, Feature, Kind, Listed,
    Observed, Outcome, Rejection, Stamp, Verdict, Verification, another_account,
    protected::Protected,
};

mod answer;
mod bounded;
mod computation;
mod config;
mod door;
mod role;
mod scram;

pub use self::config::Config;

/// The number of accounts in a page, and so the most that are held in memory. A page takes about a
/// tenth of the size limit of one answer.
const PAGE: usize = 1_000;

/// A database server.
pub struct Database {
    config: Arc<Config>,
    pool: Pool,
}

impl Kind for Database {
    const NAME: &'static str = "postgresql";
    const DISPLAY_NAME: &'static str = "PostgreSQL";
    const FEATURES: &'static [Feature] = &[Feature::Authenticate, Feature::Password];
    const ATTRIBUTES: &'static [Attribute] = config::ATTRIBUTES;
    const STABLE_ID: bool = true;
    const IGNORES_CASE: bool = false;
    const VERIFICATION: Verification = Verification::Exact;
    type Config = Config;

    fn open(config: Config, egress: &Egress) -> Result<Self, Fault> {
        let tls = config.check()?;
        let config = Arc::new(config);
        let door = Door { config: Arc::clone(&config), tls, egress: egress.clone() };
        Ok(Self { pool: Pool::new(door, config.max_connections), config })
    }
}

#[async_trait]
impl Connector for Database {
    async fn test(&self) -> Result<(), Fault> {
        let (lease, _) = self.role(&self.config.user).await?;
        let rights = lease.connection.rights;
        lease.give_back(&self.pool);
        if rights.is_superuser || rights.creates_roles {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::NotPermitted,
            "rekey's own role may not change passwords: give it CREATEROLE",
        ))
    }

    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault> {
        let mut last = 0;
        loop {
            let (lease, page) =
                self.ask(PAGE, |_| list(last, PAGE), |rights, row| listed(row, rights)).await?;
            lease.give_back(&self.pool);
            if page.is_empty() {
                return Ok(());
            }
            for (oid, account) in page {
                if oid <= last {
                    return Err(answer::unexpected());
                }
                last = oid;
                if to.send(account).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault> {
        let (lease, role) = self.role(account.native_identity).await?;
        lease.give_back(&self.pool);
        let role = changeable(role, &self.config.protected_accounts)?;
        let values = |attribute| named(&role.name).values(attribute);
        let correlation = account.correlated_by.map(values).unwrap_or_default();
        Ok(Observed { stamp: role.stamp, stable_id: Some(role.id), correlation })
    }

    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome {
        if change.password.expose().is_empty() {
            return Outcome::Rejected(Rejection {
                message: "the password is empty".to_owned(),
                reused: false,
            });
        }
        let verifier = match scram::verifier(change.password, &change.salt).await {
            Ok(verifier) => verifier,
            Err(fault) => return Outcome::NotApplied(fault),
        };
        match self.prepared(&change.account, deadline).await {
            Ok(lease) => self.alter(lease, &change.account, &verifier, observed, deadline).await,
            Err(fault) => Outcome::NotApplied(fault),
        }
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let (lease, role) = self.role(change.account.native_identity).await?;
        let reads = lease.connection.rights.reads;
        lease.give_back(&self.pool);
        let role = role.ok_or_else(no_account)?;
        check_same(&role, &change.account)?;
        if reads {
            let Some(stored) = role.verifier else { return Ok(Verdict::No) };
            if let Some(is_it) = scram::is_verifier_of(&stored, change.password).await? {
                return Ok(if is_it { Verdict::Yes } else { Verdict::No });
            }
        }
        if role.is_expired || !role.can_log_in || self.config.tls == config::Tls::None {
            // A login shows nothing here: the server rejects even the right password of an expired
            // role, refuses a role with NOLOGIN, and without TLS it may trust every client.
            return Ok(Verdict::CannotTell);
        }
        self.sign_in_once(change.account.native_identity, change.password).await
    }
}

impl Database {
    /// Runs a statement on a working connection: a broken one from the pool is replaced.
    async fn ask<T>(
        &self,
        most: usize,
        statement: impl Fn(Rights) -> String,
        read: impl Fn(Rights, &SimpleQueryRow) -> Result<T, Fault>,
    ) -> Result<(Lease, Vec<T>), Fault> {
        let mut lease = self.pool.take().await?;
        loop {
            let rights = lease.connection.rights;
            let statement = statement(rights);
            let asked = lease.connection.ask(&statement, most, |row| read(rights, row)).await;
            match asked {
                Ok(rows) => return Ok((lease, rows)),
                Err(Failed::Broken(_)) if lease.is_reused => lease = self.pool.renew(lease).await?,
                Err(failed) => return Err(failed.into()),
            }
        }
    }

    async fn role(&self, name: &str) -> Result<(Lease, Option<Role>), Fault> {
        let statement = |rights: Rights| role(name, rights.reads);
        let (lease, mut roles) =
            self.ask(1, statement, |rights, row| Role::read(row, rights)).await?;
        Ok((lease, roles.pop()))
    }

    /// Checks the role and `deadline` before the transaction; returns a working connection.
    async fn prepared(&self, account: &Account<'_>, deadline: Instant) -> Result<Lease, Fault> {
        check_deadline(deadline)?;
        let (lease, role) = self.role(account.native_identity).await?;
        let checked = changeable(role, &self.config.protected_accounts)
            .and_then(|role| check_same(&role, account));
        match checked.and_then(|()| check_deadline(deadline)) {
            Ok(()) => Ok(lease),
            Err(fault) => {
                lease.give_back(&self.pool);
                Err(fault)
            }
        }
    }

    /// Writes the verifier. Nothing changes before the commit is sent, so only a lost answer to the
    /// commit leaves the outcome unknown.
    async fn alter(
        &self,
        lease: Lease,
        account: &Account<'_>,
        verifier: &str,
        observed: &Stamp,
        deadline: Instant,
    ) -> Outcome {
        let altered = self.alter_uncommitted(&lease, account, verifier, observed, deadline).await;
        if let Err(fault) = altered.and_then(|()| check_deadline(deadline)) {
            // Dropping the lease closes the connection, and the server rolls back.
            return Outcome::NotApplied(fault);
        }
        crate::proof::pause_at("postgresql.commit");
        match lease.connection.run("COMMIT").await {
            Ok(()) => {
                lease.give_back(&self.pool);
                Outcome::Applied
            }
            // The server reports that it rolled back.
            Err(Failed::Refused(code, fault)) if is_certain(&code) => Outcome::NotApplied(fault),
            Err(failed) => Outcome::Unknown(failed.into()),
        }
    }

    async fn alter_uncommitted(
        &self,
        lease: &Lease,
        account: &Account<'_>,
        verifier: &str,
        observed: &Stamp,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let (connection, rights) = (&lease.connection, lease.connection.rights);
        connection.run("BEGIN").await?;
        let (name, verifier) = (text(account.native_identity), text(verifier));
        if rights.locks {
            // The row stays locked until the transaction ends.
            let lock = format!(
                "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = {name}::name \
                 FOR UPDATE"
            );
            let locked = connection.ask(&lock, 1, |row| Ok(stamp(answer::column(row, 0)?)));
            let current = locked.await?.pop().ok_or_else(no_account)?;
            if observed.is_known() && current != *observed {
                return Err(crate::fault::conflict());
            }
        }
        // `ALTER ROLE` takes no expressions: the server itself quotes the name and the verifier.
        let quote = format!("SELECT format('ALTER ROLE %I PASSWORD %L', {name}, {verifier})");
        let quoted = connection.ask(&quote, 1, |row| Ok(answer::value(row, 0)?.to_owned()));
        let statement = quoted.await?.pop().ok_or_else(answer::unexpected)?;
        check_deadline(deadline)?;
        connection.run(&statement).await?;
        // Until the commit, the role's row is locked: this check sees the role that was changed.
        let again = role(account.native_identity, rights.reads);
        let changed = connection.ask(&again, 1, |row| Role::read(row, rights)).await?.pop();
        check_same(&changeable(changed, &self.config.protected_accounts)?, account)
    }

    /// Signs in once with the password, on a separate connection.
    async fn sign_in_once(&self, role: &str, password: &Password) -> Result<Verdict, Fault> {
        let _slot = self.pool.slot().await?;
        let Err(error) = self.pool.door.sign_in_as(role, password.expose()).await? else {
            return Ok(Verdict::Yes);
        };
        let Some(answer) = error.as_db_error() else { return Err(answer::sign_in_fault(error)) };
        match answer.code().code() {
            "28P01" => Ok(Verdict::No),
            // Reported after the password was accepted: no right on the database, or no database.
            "42501" | "3D000" => Ok(Verdict::Yes),
            code if code.starts_with("28") => Ok(Verdict::CannotTell),
            _ => Err(answer::fault(&error)),
        }
    }
}

/// Refuses a role with another stable id than the account's: it was given the account's name.
fn check_same(role: &Role, account: &Account<'_>) -> Result<(), Fault> {
    let is_same = account.stable_id.is_none_or(|id| id == role.id);
    if is_same { Ok(()) } else { Err(another_account()) }
}

/// Refuses a role that rekey must not or cannot change.
fn changeable(role: Option<Role>, protected: &Protected) -> Result<Role, Fault> {
    let role = role.ok_or_else(no_account)?;
    protected.check(&role.name)?;
    if role.is_own {
        return Err(Fault::new(
            FaultKind::NotPermitted,
            "this is the role that rekey itself signs in with",
        ));
    }
    if role.is_privileged {
        return Err(Fault::new(
            FaultKind::NotPermitted,
            "the role is protected, since it is or may become a superuser, a role with CREATEROLE, \
             REPLICATION or BYPASSRLS, or one of the server's own (pg_...): change its password on \
             the server",
        ));
    }
    if !role.can_log_in {
        return Err(Fault::new(
            FaultKind::Unsupported,
            "the role cannot log in (NOLOGIN): a password would be of no use",
        ));
    }
    Ok(role)
}

/// Whether an error in answer to a commit proves that nothing was committed. A shutdown (class 57)
/// may follow the writing of the commit record.
fn is_certain(code: &str) -> bool {
    !code.starts_with("57") && !code.starts_with("08")
}

fn no_account() -> Fault {
    Fault::new(FaultKind::NoAccount, "there is no such role")
}

fn check_deadline(deadline: Instant) -> Result<(), Fault> {
    if Instant::now() < deadline { Ok(()) } else { Err(crate::fault::late()) }
}
