//! The address of a PostgreSQL server, and the connection settings.

use std::{net::IpAddr, str::FromStr, sync::Arc, thread, time::Duration};

use rustls::ClientConfig;
use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Result, lists};
use crate::tls;

/// The time limit for connecting.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// The settings of every connection. Plans are generic because planning costs as much as executing.
const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c synchronous_commit=on -c idle_in_transaction_session_timeout=30s -c statement_timeout=30s -c lock_timeout=10s";

/// The maximum number of threads, and so of connections, that write to the server, and of those
/// that read from it. Each thread spends most of its time waiting for the network.
const THREADS: usize = 8;

/// The address of the server, and the connection settings.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    /// Whether the server runs on this machine and shares its cores.
    is_here: bool,
}

impl Server {
    /// The connection uses TLS with a verified certificate, unless the server is on this machine or
    /// the URL has `sslmode=disable`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        // The parser's error text may contain a part of the password.
        let mut config = Config::from_str(url).map_err(|_| {
            Error::Open("store.url is not a PostgreSQL URL: write it like postgres://USER:PASSWORD@HOST:5432/DATABASE, with what is special in a URL percent-encoded".into())
        })?;
        config.connect_timeout(CONNECT);
        // A server that vanished without closing the connection must not block a thread for
        // minutes.
        config.tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(10));
        config.application_name("rekey");
        config.options(OPTIONS);
        let is_here = is_loopback(&config);
        let tls = if config.get_ssl_mode() == SslMode::Disable || is_here {
            None
        } else {
            config.ssl_mode(SslMode::Require);
            Some(tls::client().map_err(Error::Open)?)
        };
        Ok(Self { config, tls, is_here })
    }

    /// The same server, with the statement timeout of lists.
    pub(super) fn for_lists(&self) -> Self {
        let mut server = self.clone();
        // The last value of a setting counts.
        server
            .config
            .options(format!("{OPTIONS} -c statement_timeout={}", lists::TIME.as_millis()));
        server
    }

    /// The number of threads that a node needs for writing; it needs as many for reading. For a
    /// server on this machine it is one more than the number of cores, since one thread may be
    /// waiting for a lock or a sync, and at least 3, so that two threads that wait for locks leave
    /// one for the other writes.
    pub(super) fn threads(&self) -> usize {
        if !self.is_here {
            return THREADS;
        }
        thread::available_parallelism()
            .map_or(THREADS, |cores| cores.get().saturating_add(1).clamp(3, THREADS))
    }

    pub(super) async fn connect(&self) -> std::result::Result<Client, tokio_postgres::Error> {
        // The connection's task ends with the connection, and the client observes that.
        if let Some(tls) = &self.tls {
            let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
            let (client, connection) = self.config.connect(tls).await?;
            tokio::spawn(connection);
            return Ok(client);
        }
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn is_loopback(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    addresses.iter().all(IpAddr::is_loopback)
        && (!addresses.is_empty() || !config.get_hosts().is_empty())
        && config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        })
}
