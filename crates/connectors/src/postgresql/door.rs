//! Connections to one server: TCP, TLS, the sign-in, and what rekey's own role may do there.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};
use tokio_postgres::{
    Client, Error, NoTls,
    config::{ChannelBinding, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{answer, config::Config};
use crate::{
    Fault, FaultKind,
    net::{CONNECT, dial},
    pool,
};

/// The server's connections.
pub(super) type Pool = pool::Pool<Door>;
/// One of them, for one caller.
pub(super) type Lease = pool::Lease<Door>;

/// Set on every connection: names resolve to the server's own functions only, and nothing waits
/// longer than rekey does.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '9s'; \
     SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15s'";

/// What rekey's own role may do with `pg_authid`, where the verifiers are.
const RIGHTS: &str = "SELECT has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'), \
     has_table_privilege('pg_catalog.pg_authid', 'UPDATE'), \
     rolsuper, rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// How to reach the server.
pub(super) struct Door {
    pub(super) config: Arc<Config>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A connection, and what drives it. Dropped, it closes, and the server rolls back.
pub(super) struct Connection {
    pub(super) client: Client,
    driver: AbortHandle,
    pub(super) rights: Rights,
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

impl pool::Door for Door {
    type Connection = Connection;
    const BUSY: &'static str = "every connection to the server was busy for 10 seconds: raise \
         maxConnections or look for a slow server";

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

    fn is_closed(connection: &mut Connection) -> bool {
        connection.client.is_closed()
    }
}

impl Door {
    /// Signs in once as `role` and hangs up at once.
    pub(super) async fn sign_in_as(
        &self,
        role: &str,
        password: &str,
    ) -> Result<Result<(), Error>, Fault> {
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
