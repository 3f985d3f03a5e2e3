//! Connections to one server: TCP, TLS, the sign-in, and the rights of rekey's own role.

use std::{fmt::Write as _, pin::pin, sync::Arc};

use futures_util::TryStreamExt as _;
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, Error, NoTls, SimpleQueryMessage, SimpleQueryRow,
    config::{ChannelBinding, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    answer::{self, is_true, value},
    bounded::{Allowance, Bounded, BoundedTls},
    computation::computed,
    config::Config,
};
use crate::{
    Egress, Fault, FaultKind,
    net::{CONNECT, OPERATION, dial},
    pool,
};

/// The pool of connections to the server.
pub(super) type Pool = pool::Pool<Door>;
/// A connection of the pool, for one caller.
pub(super) type Lease = pool::Lease<Door>;

/// The settings of every connection. Names resolve to the server's own functions only, and a
/// statement ends before rekey stops waiting for its answer (`OPERATION`).
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '9s'; \
     SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15s'";

/// Queries the rights of rekey's own role on `pg_authid`, which holds the verifiers, and the
/// identifier of the cluster.
const RIGHTS: &str = "SELECT has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'), \
     has_table_privilege('pg_catalog.pg_authid', 'UPDATE'), \
     rolsuper, rolcreaterole, (SELECT system_identifier FROM pg_catalog.pg_control_system()) \
     FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// Opens connections to the server.
pub(super) struct Door {
    pub(super) config: Arc<Config>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) egress: Egress,
}

/// A connection and its driver task. Dropping it closes the connection, and the server rolls back.
pub(super) struct Connection {
    client: Client,
    driver: AbortHandle,
    allowance: Arc<Allowance>,
    pub(super) rights: Rights,
}

/// The reason why a statement has no result.
pub(super) enum Failed {
    /// The connection broke, or the answer was unusable.
    Broken(Fault),
    /// The server refused, with this SQLSTATE.
    Refused(String, Fault),
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Broken(fault) | Failed::Refused(_, fault) => fault,
        }
    }
}

/// Encodes a text as an SQL expression. Hexadecimal digits need no quoting in any mode of the
/// server.
pub(super) fn text(value: &str) -> String {
    let mut digits = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        let _ = write!(digits, "{byte:02x}");
    }
    format!("convert_from(decode('{digits}', 'hex'), 'UTF8')")
}

impl Connection {
    /// Sends statements and reads every row of the answer; more than `most` rows are a fault.
    ///
    /// The statements use the simple protocol. With the extended protocol, the client queries the
    /// server for each unknown type and for the types within it, to any depth that the server
    /// answers.
    pub(super) async fn ask<T>(
        &self,
        statements: &str,
        most: usize,
        read: impl Fn(&SimpleQueryRow) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Failed> {
        self.allowance.renew();
        let asking = async {
            let mut answer =
                pin!(self.client.simple_query_raw(statements).await.map_err(self.failed())?);
            let mut rows = Vec::new();
            while let Some(part) = answer.try_next().await.map_err(self.failed())? {
                let SimpleQueryMessage::Row(row) = part else { continue };
                if rows.len() == most {
                    return Err(Failed::Broken(answer::unexpected()));
                }
                rows.push(read(&row).map_err(Failed::Broken)?);
            }
            Ok(rows)
        };
        timeout(OPERATION, asking).await.unwrap_or_else(|_| Err(Failed::Broken(silent())))
    }

    /// Sends statements whose answers contain no rows.
    pub(super) async fn run(&self, statements: &str) -> Result<(), Failed> {
        self.ask(statements, 0, |_| Ok(())).await.map(drop)
    }

    fn failed(&self) -> impl Fn(Error) -> Failed {
        |error| match error.code().map(|code| code.code().to_owned()) {
            Some(code) => Failed::Refused(code, answer::fault(&error)),
            None => Failed::Broken(answer::broken(&error, self.allowance.refused())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Queued requests must not be sent after their caller gave up.
        self.driver.abort();
    }
}

/// The rights of rekey's own role.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent rights, as the server has them"
)]
#[derive(Clone, Copy, Default)]
pub(super) struct Rights {
    /// Whether it may read verifiers.
    pub(super) reads: bool,
    /// Whether it may lock the rows that hold verifiers.
    pub(super) locks: bool,
    pub(super) is_superuser: bool,
    pub(super) creates_roles: bool,
    /// The cluster's system identifier: oids are unique only within one cluster.
    pub(super) cluster: u64,
}

impl Rights {
    /// Reads a row of [`RIGHTS`].
    fn read(row: &SimpleQueryRow) -> Result<Self, Fault> {
        Ok(Self {
            reads: is_true(row, 0)?,
            locks: is_true(row, 1)?,
            is_superuser: is_true(row, 2)?,
            creates_roles: is_true(row, 3)?,
            cluster: value(row, 4)?.parse().map_err(|_| answer::unexpected())?,
        })
    }
}

impl pool::Door for Door {
    type Connection = Connection;
    const BUSY: &'static str = "every connection to the server was busy for 8 seconds: raise \
         maxConnections or look for a slow server";

    async fn open(&self) -> Result<Connection, Fault> {
        let opening = async {
            let mut connection = self
                .connect(&self.config.user, self.config.password.expose())
                .await?
                .map_err(answer::sign_in_fault)?;
            connection.run(SESSION).await?;
            let asked = connection.ask(RIGHTS, 1, Rights::read).await;
            let rights = asked.map_err(unidentified)?.pop();
            connection.rights = rights.ok_or_else(answer::unexpected)?;
            Ok(connection)
        };
        timeout(CONNECT, opening).await.unwrap_or_else(|_| Err(slow()))
    }

    fn is_closed(connection: &mut Connection) -> bool {
        connection.client.is_closed()
    }
}

impl Door {
    /// Signs in once as `role`, and closes the connection.
    pub(super) async fn sign_in_as(
        &self,
        role: &str,
        password: &str,
    ) -> Result<Result<(), Error>, Fault> {
        match timeout(CONNECT, self.connect(role, password)).await {
            Ok(connected) => Ok(connected?.map(drop)),
            Err(_) => Err(slow()),
        }
    }

    async fn connect(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Result<Connection, Error>, Fault> {
        let stream = dial(&self.egress, &self.config.host, self.config.port).await?;
        let allowance = Allowance::new();
        let mut settings = tokio_postgres::Config::new();
        settings
            .user(user)
            .password(password)
            .dbname(&self.config.database)
            .application_name("rekey");
        let Some(tls) = &self.tls else {
            settings.ssl_mode(SslMode::Disable).channel_binding(ChannelBinding::Disable);
            let stream = Bounded::new(stream, Arc::clone(&allowance));
            return drive(settings, stream, NoTls, allowance).await;
        };
        // With channel binding required, the server cannot ask for the password itself, or for MD5.
        settings.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Require);
        let mut connector = MakeRustlsConnect::new(ClientConfig::clone(tls));
        match MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, &self.config.host) {
            Ok(tls) => {
                let tls = BoundedTls { tls, allowance: Arc::clone(&allowance) };
                drive(settings, stream, tls, allowance).await
            }
            Err(impossible) => match impossible {},
        }
    }
}

async fn drive<S, T>(
    settings: tokio_postgres::Config,
    stream: S,
    tls: T,
    allowance: Arc<Allowance>,
) -> Result<Result<Connection, Error>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: TlsConnect<S> + Send + 'static,
    T::Stream: Send + 'static,
    T::Future: Send,
{
    // The server chooses the iteration count of the password's proof: compute it off the runtime.
    let connected = computed(async move { settings.connect_raw(stream, tls).await }).await?;
    Ok(connected.map(|(client, connection)| {
        // The task ends with the connection; the reason appears in the next call.
        let driver = tokio::spawn(connection).abort_handle();
        Connection { client, driver, allowance, rights: Rights::default() }
    }))
}

/// The fault for a failed query of the rights. Every role may read the cluster's identifier, unless
/// that right was revoked.
fn unidentified(failed: Failed) -> Fault {
    match failed {
        Failed::Refused(code, fault) if code == "42501" => Fault::new(
            FaultKind::NotPermitted,
            "rekey's own role may not read which cluster this is: GRANT EXECUTE ON FUNCTION \
             pg_catalog.pg_control_system() to it",
        )
        .caused_by(fault),
        failed @ (Failed::Broken(_) | Failed::Refused(..)) => failed.into(),
    }
}

fn slow() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server did not finish the sign-in within 5 seconds")
}

fn silent() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server did not answer within 10 seconds")
}
