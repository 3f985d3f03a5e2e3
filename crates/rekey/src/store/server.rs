//! Where a PostgreSQL server is, and how to reach it.

use std::{net::IpAddr, str::FromStr, sync::Arc, thread, time::Duration};

use rustls::ClientConfig;
use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Result, lists};
use crate::tls;

/// How long connecting may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// What every connection asks for. Planning costs as much as doing.
const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c synchronous_commit=on -c idle_in_transaction_session_timeout=30s -c statement_timeout=30s -c lock_timeout=10s";

/// Threads, and so connections, that write to the server, and that read from it, at most. Each waits
/// for the network most of its time.
const THREADS: usize = 8;

/// Where the server is, and how to reach it.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    /// Whether it shares this machine's cores.
    is_here: bool,
}

impl Server {
    /// `sslmode=require` and stronger in the URL asks for TLS with a verified certificate.
    pub(super) fn parse(url: &str) -> Result<Self> {
        // The parser's own words may be a piece of the password.
        let mut config = Config::from_str(url).map_err(|_| {
            Error::Open("store.url is not a PostgreSQL URL: write it like postgres://USER:PASSWORD@HOST:5432/DATABASE, with what is special in a URL percent-encoded".into())
        })?;
        config.connect_timeout(CONNECT);
        // A server that vanished without a word must not hold a thread for minutes.
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

    /// The same, for connections that read lists.
    pub(super) fn for_lists(&self) -> Self {
        let mut server = self.clone();
        // The last one counts.
        server
            .config
            .options(format!("{OPTIONS} -c statement_timeout={}", lists::TIME.as_millis()));
        server
    }

    /// How many threads a node needs to write to it, and as many to read from it. On the server's own
    /// machine one more than it has cores, since one may be waiting for a lock or a sync, and never
    /// so few that two that wait for locks keep all others from writing.
    pub(super) fn threads(&self) -> usize {
        if !self.is_here {
            return THREADS;
        }
        thread::available_parallelism()
            .map_or(THREADS, |cores| cores.get().saturating_add(1).clamp(3, THREADS))
    }

    pub(super) async fn connect(&self) -> std::result::Result<Client, tokio_postgres::Error> {
        // The task ends with the connection, and the client notices.
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
