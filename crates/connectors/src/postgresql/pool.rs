//! Connections to one server: opened when needed, reused, bounded in number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, Error, NoTls,
    config::{ChannelBinding, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{answer, config::Config};
use crate::{
    Fault, FaultKind,
    net::{CONNECT, OPERATION, dial},
};

/// Set on every connection: names resolve to the server's own functions only, and nothing waits
/// longer than rekey does.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '9s'; \
     SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15s'";

/// What rekey's own role may do with `pg_authid`, where the verifiers are.
const RIGHTS: &str = "SELECT has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'), \
     has_table_privilege('pg_catalog.pg_authid', 'UPDATE'), \
     rolsuper, rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// How to reach the server, and the connections that are idle.
pub(super) struct Pool {
    config: Arc<Config>,
    tls: Option<Arc<ClientConfig>>,
    /// Last in, first out: the one that worked most recently is used next.
    idle: Mutex<Vec<Connection>>,
    slots: Arc<Semaphore>,
}

/// A connection for one caller. Dropping it closes the connection, and the server rolls back; only
/// [`Lease::give_back`] keeps it for others.
pub(super) struct Lease {
    connection: Connection,
    slot: OwnedSemaphorePermit,
    /// It may have died while nobody used it.
    pub(super) is_reused: bool,
}

struct Connection {
    client: Client,
    driver: AbortHandle,
    rights: Rights,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whatever is still queued must not be sent after its caller gave up.
        self.driver.abort();
    }
}

/// What rekey's own role may do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent rights, as the server has them"
)]
#[derive(Clone, Copy, Default)]
pub(super) struct Rights {
    /// It may read verifiers.
    pub(super) reads: bool,
    /// It may lock their rows.
    pub(super) locks: bool,
    pub(super) is_superuser: bool,
    pub(super) creates_roles: bool,
}

impl Pool {
    pub(super) fn new(config: Arc<Config>, tls: Option<Arc<ClientConfig>>) -> Self {
        let slots = Arc::new(Semaphore::new(config.max_connections));
        Self { config, tls, idle: Mutex::default(), slots }
    }

    /// A connection that is signed in with rekey's own role.
    pub(super) async fn take(&self) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        let idle = {
            let mut idle = self.idle();
            idle.retain(|connection| !connection.client.is_closed());
            idle.pop()
        };
        match idle {
            Some(connection) => Ok(Lease { connection, slot, is_reused: true }),
            None => Ok(Lease { connection: self.open().await?, slot, is_reused: false }),
        }
    }

    /// Replaces a broken connection by a new one; the idle ones are no better.
    pub(super) async fn renew(&self, lease: Lease) -> Result<Lease, Fault> {
        let Lease { slot, .. } = lease;
        self.idle().clear();
        Ok(Lease { connection: self.open().await?, slot, is_reused: false })
    }

    /// Signs in once as `role` and hangs up at once.
    pub(super) async fn sign_in_as(
        &self,
        role: &str,
        password: &str,
    ) -> Result<Result<(), Error>, Fault> {
        let _slot = self.slot().await?;
        match timeout(CONNECT, self.connect(role, password)).await {
            Ok(Ok(Ok((_, driver)))) => {
                driver.abort();
                Ok(Ok(()))
            }
            Ok(Ok(Err(error))) => Ok(Err(error)),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(slow()),
        }
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        match timeout(OPERATION, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::new(
                FaultKind::Throttled,
                "every connection to the server was busy for 10 seconds: raise maxConnections or \
                 look for a slow server",
            )),
        }
    }

    async fn open(&self) -> Result<Connection, Fault> {
        let opening = async {
            let (client, driver) = self
                .connect(&self.config.user, self.config.password.expose())
                .await?
                .map_err(answer::sign_in_fault)?;
            let mut connection = Connection { client, driver, rights: Rights::default() };
            connection.client.batch_execute(SESSION).await.map_err(answer::fault)?;
            let row = connection.client.query_one(RIGHTS, &[]).await.map_err(answer::fault)?;
            connection.rights = Rights {
                reads: row.get(0),
                locks: row.get(1),
                is_superuser: row.get(2),
                creates_roles: row.get(3),
            };
            Ok(connection)
        };
        timeout(CONNECT, opening).await.unwrap_or_else(|_| Err(slow()))
    }

    async fn connect(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Result<(Client, AbortHandle), Error>, Fault> {
        let stream = dial(&self.config.host, self.config.port).await?;
        let mut settings = tokio_postgres::Config::new();
        settings
            .user(user)
            .password(password)
            .dbname(&self.config.database)
            .application_name("rekey");
        let Some(tls) = &self.tls else {
            settings.ssl_mode(SslMode::Disable).channel_binding(ChannelBinding::Disable);
            return Ok(drive(&settings, stream, NoTls).await);
        };
        // Channel binding leaves the server no way to ask for the password itself, or for MD5.
        settings.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Require);
        let mut connector = MakeRustlsConnect::new(ClientConfig::clone(tls));
        match MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, &self.config.host) {
            Ok(tls) => Ok(drive(&settings, stream, tls).await),
            Err(impossible) => match impossible {},
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drive<T>(
    settings: &tokio_postgres::Config,
    stream: TcpStream,
    tls: T,
) -> Result<(Client, AbortHandle), Error>
where
    T: TlsConnect<TcpStream>,
    T::Stream: Send + 'static,
{
    let (client, connection) = settings.connect_raw(stream, tls).await?;
    // It ends with the connection; why it ended shows in the next call.
    Ok((client, tokio::spawn(connection).abort_handle()))
}

fn slow() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server did not finish the sign-in within 5 seconds")
}

impl Lease {
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.connection.client
    }

    pub(super) fn rights(&self) -> Rights {
        self.connection.rights
    }

    /// Keeps the connection for the next caller; only for one that is in no transaction.
    pub(super) fn give_back(self, pool: &Pool) {
        let Self { connection, slot, .. } = self;
        pool.idle().push(connection);
        drop(slot);
    }
}
