//! Connections to one directory: opened when needed, signed in once, reused, bounded in number.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, StdStream};
use rustls::ClientConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};

use super::{
    answer,
    config::{Config, Tls},
};
use crate::{
    Fault, FaultKind,
    net::{CONNECT, OPERATION, dial},
    scrub::plain,
    tls,
};

/// How to reach the directory, and the connections that are idle.
pub(super) struct Pool {
    config: Arc<Config>,
    tls: Option<Arc<ClientConfig>>,
    /// Last in, first out: the one that worked most recently is used next.
    idle: Mutex<Vec<Connection>>,
    slots: Arc<Semaphore>,
}

/// A connection for one caller. Dropping it closes the connection; only [`Lease::give_back`], after
/// an answer, keeps it for others.
pub(super) struct Lease {
    connection: Connection,
    slot: OwnedSemaphorePermit,
    /// It may have died while nobody used it.
    pub(super) is_reused: bool,
}

struct Connection {
    ldap: Ldap,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whatever is still queued must not be sent after its caller gave up.
        self.driver.abort();
    }
}

/// A connection that stopped working.
#[derive(Debug)]
pub(super) struct Broken {
    /// Whether the request may have left.
    pub(super) is_sent: bool,
    pub(super) fault: Fault,
}

impl Pool {
    pub(super) fn new(config: Arc<Config>, tls: Option<Arc<ClientConfig>>) -> Self {
        let slots = Arc::new(Semaphore::new(config.max_connections));
        Self { config, tls, idle: Mutex::default(), slots }
    }

    /// A connection that is signed in with rekey's own account.
    pub(super) async fn take(&self) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        while let Some(mut connection) = self.pop() {
            if !connection.ldap.is_closed() {
                return Ok(Lease { connection, slot, is_reused: true });
            }
        }
        Ok(Lease { connection: self.sign_in().await?, slot, is_reused: false })
    }

    /// Replaces a broken connection by a new one; the idle ones are no better.
    pub(super) async fn renew(&self, lease: Lease) -> Result<Lease, Fault> {
        let Lease { slot, .. } = lease;
        self.idle().clear();
        Ok(Lease { connection: self.sign_in().await?, slot, is_reused: false })
    }

    /// A new connection that is nobody's yet and never returns to the pool.
    pub(super) async fn anonymous(&self) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        Ok(Lease { connection: self.connect().await?, slot, is_reused: false })
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        match timeout(OPERATION, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::new(
                FaultKind::Throttled,
                "every connection to the directory was busy for 10 seconds: raise maxConnections \
                 or look for a slow directory",
            )),
        }
    }

    async fn sign_in(&self) -> Result<Connection, Fault> {
        let mut connection = self.connect().await?;
        let bind =
            connection.ldap.simple_bind(&self.config.bind_dn, self.config.bind_password.expose());
        let answer = within(CONNECT, bind).await.map_err(|broken| broken.fault)?;
        match answer.rc {
            0 => Ok(connection),
            // RFC 4511, section 4.2.2 and appendix A: all of these concern rekey's own account.
            32 | 34 | 48 | 49 | 50 => Err(Fault::new(
                FaultKind::Denied,
                format!(
                    "the directory refused rekey's own account ({}): check bindDn and \
                     bindPassword",
                    answer::name(answer.rc)
                ),
            )),
            _ => Err(answer::fault(&answer, &plain(&answer.text))),
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let (host, port) = (&self.config.host, self.config.port());
        let stream = dial(host, port).await?.into_std().map_err(|error| {
            Fault::new(FaultKind::Unreachable, format!("{host}:{port} cannot be reached: {error}"))
        })?;
        let mut settings = LdapConnSettings::new()
            .set_std_stream(StdStream::Tcp(stream))
            .set_starttls(self.config.tls == Tls::Upgraded);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        let scheme = if self.config.tls == Tls::Ldaps { "ldaps" } else { "ldap" };
        let url = format!("{scheme}://{host}:{port}");
        let opening = LdapConnAsync::with_settings(settings, &url);
        let (driver, ldap) = match timeout(CONNECT, AssertUnwindSafe(opening).catch_unwind()).await
        {
            Ok(Ok(Ok(pair))) => pair,
            Ok(Ok(Err(LdapError::LdapResult { result }))) => {
                return Err(answer::fault(&result, &plain(&result.text)));
            }
            Ok(Ok(Err(error))) => return Err(tls::fault(error)),
            Ok(Err(_)) => return Err(malformed()),
            Err(_) => {
                return Err(Fault::new(
                    FaultKind::Unreachable,
                    format!("{host}:{port} did not set up TLS within 5 seconds"),
                ));
            }
        };
        // It ends with the connection; why it ended shows in the next call.
        let driver = tokio::spawn(driver.drive()).abort_handle();
        Ok(Connection { ldap, driver })
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn ldap(&mut self) -> &mut Ldap {
        &mut self.connection.ldap
    }

    /// Keeps the connection for the next caller; only for one that has answered all it was asked.
    pub(super) fn give_back(self, pool: &Pool) {
        let Self { connection, slot, .. } = self;
        pool.idle().push(connection);
        drop(slot);
    }
}

/// Waits for an answer, at most `limit`; takes an answer that the LDAP library chokes on for none.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, LdapError>> + Send,
) -> Result<T, Broken> {
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(Broken {
            is_sent: !matches!(error, LdapError::OpSend { .. }),
            // The library's error may hold the request, and so a password: it is not kept.
            fault: Fault::new(FaultKind::Unreachable, "the connection to the directory broke"),
        }),
        Ok(Err(_)) => Err(Broken { is_sent: true, fault: malformed() }),
        Err(_) => Err(Broken {
            is_sent: true,
            fault: Fault::new(
                FaultKind::Unreachable,
                format!("the directory did not answer within {} seconds", limit.as_secs()),
            ),
        }),
    }
}

fn malformed() -> Fault {
    Fault::new(FaultKind::Unreachable, "the directory's answer was not LDAP")
}
