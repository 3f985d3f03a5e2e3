//! PostgreSQL: the pool, and a deed as a transaction.

use std::{str::FromStr, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio::runtime::Handle;
use tokio_postgres::{Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Fail, Result, Tx};
use crate::{clock::Clock, proof, tls};

/// Connections of one node at most.
const CONNECTIONS: usize = 16;

/// Connects. `sslmode=require` and stronger in the URL asks for TLS with a verified certificate.
pub(super) async fn open(url: &str) -> Result<Pool> {
    // The parser's own words may be a piece of the password.
    let mut config = Config::from_str(url).map_err(|_| {
        Error::Open("store.url is not a PostgreSQL URL: write it like postgres://USER:PASSWORD@HOST:5432/DATABASE, with what is special in a URL percent-encoded".into())
    })?;
    config.connect_timeout(Duration::from_secs(5));
    // A server that vanished without a word must not hold the pool for minutes.
    config.tcp_user_timeout(Duration::from_secs(10));
    config.keepalives_idle(Duration::from_secs(10));
    config.application_name("rekey");
    // Plans made on empty tables did a hundredth of the changes: plan each time.
    config.options("-c plan_cache_mode=force_custom_plan -c synchronous_commit=on -c idle_in_transaction_session_timeout=30s -c statement_timeout=30s -c lock_timeout=10s");
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == SslMode::Disable || is_loopback(&config) {
        Manager::from_config(config, NoTls, manager_config)
    } else {
        config.ssl_mode(SslMode::Require);
        let tls = tls::client().map_err(|e| Error::Open(e.to_string()))?;
        Manager::from_config(
            config,
            MakeRustlsConnect::new(Arc::unwrap_or_clone(tls)),
            manager_config,
        )
    };
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(Duration::from_secs(5)),
            create: Some(Duration::from_secs(5)),
            recycle: Some(Duration::from_secs(5)),
        })
        .build()
        .map_err(|e| Error::Open(e.to_string()))?;
    drop(pool.get().await.map_err(|e| {
        Error::Open(format!(
            "the store cannot be reached: {e}; check store.url and that PostgreSQL runs"
        ))
    })?);
    Ok(pool)
}

fn is_loopback(config: &Config) -> bool {
    use tokio_postgres::config::Host;
    let addresses = config.get_hostaddrs();
    addresses.iter().all(std::net::IpAddr::is_loopback)
        && (!addresses.is_empty() || !config.get_hosts().is_empty())
        && config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        })
}

/// How often a deed is done again at most.
const AGAIN: usize = 20;

/// Runs a deed, again when the server asks for it.
pub(super) fn transact<T, E: Fail>(
    client: &Object,
    clock: &Clock,
    deed: &impl Fn(&mut Tx<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let runtime = Handle::current();
    let mut again = AGAIN;
    loop {
        runtime.block_on(client.batch_execute("BEGIN")).map_err(Error::from)?;
        let mut tx = Tx::postgres(client, runtime.clone(), clock, true);
        let done = deed(&mut tx).and_then(|done| {
            proof::crash_at("store.before_commit");
            proof::crash_soon("store.commit_under_way");
            tx.commit().map(|()| done).map_err(E::from)
        });
        proof::crash_at("store.committed");
        match done {
            Err(error) if again > 0 && error.store().is_some_and(Error::is_transient) => again -= 1,
            done => return done,
        }
    }
}
