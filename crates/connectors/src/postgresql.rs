//! PostgreSQL roles.
//!
//! The server never sees a password: rekey computes the SCRAM-SHA-256 verifier and sends that, so
//! nothing else can reach the server's log or `pg_stat_statements`. The price is that the server
//! cannot judge the password (`passwordcheck` sees a verifier only).
//!
//! With a superuser, a change is one transaction that locks the role's row, compares the verifier
//! with the one observed, and replaces it; and whether a password is in force is read exactly.
//! With a role that has CREATEROLE only, verifiers cannot be read: there is no stamp, nothing to
//! compare, and verification is one login.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use rekey_vault::Password;
use tokio::{sync::mpsc, time::timeout};
use tokio_postgres::Error;

use self::{
    door::{Door, Lease, Pool},
    role::{LIST, ROLE, ROLE_WITHOUT_VERIFIER, Role, listed, stamp},
};
use crate::{
    Account, Change, Connector, Fault, FaultKind, Feature, Kind, Listed, Observed, Outcome,
    Rejection, Stamp, Verdict, Verification, net::OPERATION, scrub::scrub,
};

mod answer;
mod config;
mod door;
mod role;
mod scram;

pub use self::config::Config;

/// How many accounts one page holds, and so the most that wait in memory.
const PAGE: i64 = 1_000;

/// A database server.
pub struct Database {
    config: Arc<Config>,
    pool: Pool,
}

impl Kind for Database {
    const NAME: &'static str = "postgresql";
    const DISPLAY_NAME: &'static str = "PostgreSQL";
    const FEATURES: &'static [Feature] = &[Feature::Authenticate, Feature::Password];
    const SECRETS: &'static [&'static str] = &["password"];
    const STABLE_ID: bool = false;
    const IGNORES_CASE: bool = false;
    const VERIFICATION: Verification = Verification::Exact;
    type Config = Config;

    fn open(config: Config) -> Result<Self, Fault> {
        let tls = config.check()?;
        let config = Arc::new(config);
        let door = Door { config: Arc::clone(&config), tls };
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
        let mut last = String::new();
        loop {
            // Also proves that a pooled connection is alive.
            let (lease, _) = self.role(&self.config.user).await?;
            let page = within(lease.connection.client.query(LIST, &[&last, &PAGE])).await?;
            lease.give_back(&self.pool);
            let Some(row) = page.last() else { return Ok(()) };
            last = row.get(0);
            for row in &page {
                if to.send(listed(row)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault> {
        let name = account.native_identity;
        let (lease, role) = self.role(name).await?;
        let rights = lease.connection.rights;
        lease.give_back(&self.pool);
        let role = self.changeable(name, role, rights.is_superuser)?;
        Ok(Observed { stamp: role.stamp, ..Observed::default() })
    }

    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome {
        if change.password.expose().is_empty() {
            return Outcome::Rejected(Rejection {
                message: "the password is empty".to_owned(),
                reused: false,
            });
        }
        let verifier = scram::verifier(change.password, &change.salt);
        let lease = match self.prepared(change.account.native_identity, deadline).await {
            Ok(lease) => lease,
            Err(fault) => return Outcome::NotApplied(fault),
        };
        self.alter(lease, change.account.native_identity, &verifier, observed, deadline).await
    }

    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault> {
        let (lease, role) = self.role(change.account.native_identity).await?;
        let reads = lease.connection.rights.reads;
        lease.give_back(&self.pool);
        let role = role.ok_or_else(no_account)?;
        if reads {
            let Some(stored) = role.verifier else { return Ok(Verdict::No) };
            if let Some(is_it) = scram::is_verifier_of(&stored, change.password) {
                return Ok(if is_it { Verdict::Yes } else { Verdict::No });
            }
        }
        if role.is_expired || !role.can_log_in || self.config.tls == config::Tls::None {
            // The server answers as for a wrong password, or a server without TLS that trusts
            // everybody answers as for a right one.
            return Ok(Verdict::CannotTell);
        }
        self.sign_in_once(change.account.native_identity, change.password).await
    }
}

/// Its row stays ours until the transaction ends.
const LOCK: &str =
    "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1::text::name FOR UPDATE";

/// `ALTER ROLE` takes no parameters: the server itself quotes the name and the verifier.
const STATEMENT: &str = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)";

impl Database {
    /// Reads a role, on a connection that has just proved to be alive. A pooled one that turns out
    /// to be dead is replaced.
    async fn role(&self, name: &str) -> Result<(Lease, Option<Role>), Fault> {
        let mut lease = self.pool.take().await?;
        loop {
            let is_readable = lease.connection.rights.reads;
            let query = if is_readable { ROLE } else { ROLE_WITHOUT_VERIFIER };
            match timeout(OPERATION, lease.connection.client.query_opt(query, &[&name])).await {
                Ok(Ok(row)) => {
                    let role = row.map(|row| Role::read(&row, is_readable));
                    return Ok((lease, role));
                }
                Ok(Err(error)) if error.as_db_error().is_some() => {
                    return Err(answer::fault(error));
                }
                Ok(Err(_)) | Err(_) if lease.is_reused => lease = self.pool.renew(lease).await?,
                Ok(Err(error)) => return Err(answer::fault(error)),
                Err(_) => return Err(silent()),
            }
        }
    }

    /// Refuses what rekey must not or cannot change.
    fn changeable(
        &self,
        name: &str,
        role: Option<Role>,
        is_superuser: bool,
    ) -> Result<Role, Fault> {
        let role = role.ok_or_else(no_account)?;
        if name == self.config.user {
            return Err(Fault::new(
                FaultKind::NotPermitted,
                "this is the role that rekey itself signs in with",
            ));
        }
        if !role.can_log_in {
            return Err(Fault::new(
                FaultKind::Unsupported,
                "the role cannot log in (NOLOGIN): a password would be of no use",
            ));
        }
        if role.is_superuser && !is_superuser {
            return Err(Fault::new(
                FaultKind::NotPermitted,
                "the role is a superuser: only a superuser may change its password",
            ));
        }
        Ok(role)
    }

    /// Everything before the transaction: a live connection, a role that can be changed, in time.
    async fn prepared(&self, name: &str, deadline: Instant) -> Result<Lease, Fault> {
        check_deadline(deadline)?;
        let (lease, role) = self.role(name).await?;
        let checked = self
            .changeable(name, role, lease.connection.rights.is_superuser)
            .and_then(|_| check_deadline(deadline));
        match checked {
            Ok(()) => Ok(lease),
            Err(fault) => {
                lease.give_back(&self.pool);
                Err(fault)
            }
        }
    }

    /// The write. Until the commit is sent, nothing has changed; only the commit's answer can be
    /// lost in a way that matters.
    async fn alter(
        &self,
        mut lease: Lease,
        name: &str,
        verifier: &str,
        observed: &Stamp,
        deadline: Instant,
    ) -> Outcome {
        let rights = lease.connection.rights;
        let committed = async {
            let transaction = within(lease.connection.client.transaction()).await?;
            if rights.locks {
                let row = within(transaction.query_opt(LOCK, &[&name])).await?;
                let current: Option<String> = row.ok_or_else(no_account)?.get(0);
                if observed.is_known() && stamp(current.as_deref()) != *observed {
                    return Err(crate::fault::conflict());
                }
            }
            let row = within(transaction.query_one(STATEMENT, &[&name, &verifier])).await?;
            let statement: String = row.get(0);
            check_deadline(deadline)?;
            within(transaction.batch_execute(&statement)).await?;
            check_deadline(deadline)?;
            crate::proof::pause_at("postgresql.commit");
            Ok(timeout(OPERATION, transaction.commit()).await)
        }
        .await;
        let committed = match committed {
            Ok(committed) => committed,
            // Dropping the lease ends the connection, and with it the transaction.
            Err(fault) => return Outcome::NotApplied(fault),
        };
        match committed {
            Ok(Ok(())) => {
                lease.give_back(&self.pool);
                Outcome::Applied
            }
            // The server's own word: it rolled back.
            Ok(Err(error)) if error.as_db_error().is_some_and(is_certain) => {
                Outcome::NotApplied(answer::fault(error))
            }
            Ok(Err(error)) => Outcome::Unknown(answer::fault(error)),
            Err(_) => Outcome::Unknown(silent()),
        }
    }

    /// One login with the password, on a connection of its own.
    async fn sign_in_once(&self, role: &str, password: &Password) -> Result<Verdict, Fault> {
        let _slot = self.pool.slot().await?;
        let Err(error) = self.pool.door.sign_in_as(role, password.expose()).await? else {
            return Ok(Verdict::Yes);
        };
        let Some(answer) = error.as_db_error() else { return Err(answer::sign_in_fault(error)) };
        match answer.code().code() {
            "28P01" => Ok(Verdict::No),
            // These come after the password was found to be right: no right on the database.
            "42501" | "3D000" => Ok(Verdict::Yes),
            code if code.starts_with("28") => Ok(Verdict::CannotTell),
            _ => {
                let mut fault = answer::fault(error);
                fault.message = scrub(&fault.message, password);
                Err(fault)
            }
        }
    }
}

/// Whether an error that answers a commit says that nothing was committed. A shutdown (class 57)
/// may come after the commit record was written.
fn is_certain(answer: &tokio_postgres::error::DbError) -> bool {
    let code = answer.code().code();
    !code.starts_with("57") && !code.starts_with("08")
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match timeout(OPERATION, call).await {
        Ok(answer) => answer.map_err(answer::fault),
        Err(_) => Err(silent()),
    }
}

fn silent() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server did not answer within 10 seconds")
}

fn no_account() -> Fault {
    Fault::new(FaultKind::NoAccount, "there is no such role")
}

fn check_deadline(deadline: Instant) -> Result<(), Fault> {
    if Instant::now() < deadline { Ok(()) } else { Err(crate::fault::late()) }
}
