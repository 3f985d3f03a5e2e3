//! The settings. The commented default file is their documentation.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use rekey_connectors::Egress;
use serde::Deserialize;

pub use self::value::parse_span;
use self::value::{
    accounts, address, collector, crowd, deadline, egress, file, grace, lifetime, megabytes,
    networks, no_or_address, no_or_deadline, web_url, workers,
};

mod read;
mod value;

/// The commented default file.
pub const DEFAULT: &str = include_str!("../config.default.toml");

/// Everything that can be set, with its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How it is reached.
    pub server: Server,
    /// Where everything lasts.
    pub store: StoreSettings,
    /// How changes are carried out.
    pub changes: Changes,
    /// Which systems it may reach.
    pub egress: EgressSettings,
    /// How much is too much.
    pub limits: Limits,
    /// How source keys are kept.
    pub keys: KeySettings,
    /// What it writes down.
    pub log: Log,
    /// Who may read what it counts.
    pub metrics: MetricsSettings,
    /// Who is told where the time goes.
    pub traces: Traces,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The URL clients use, without a trailing slash; empty for `http://LISTEN`.
    #[serde(deserialize_with = "web_url")]
    pub base_url: String,
    /// The networks of the proxies whose word on a client's address counts; empty for none.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            base_url: String::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The folder of the master key, `bootstrap.json` and, by default, the store.
    pub folder: PathBuf,
    /// A file, or a `postgres://` URL; empty for `rekey.db` in the folder.
    pub url: String,
    /// The file the URL is read from instead: it may hold a password.
    #[serde(deserialize_with = "file")]
    pub url_file: Option<PathBuf>,
    /// The file of the key encryption key; empty for `master.key` in the folder.
    #[serde(deserialize_with = "file")]
    pub master_key_file: Option<PathBuf>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("rekey-data"),
            url: String::new(),
            url_file: None,
            master_key_file: None,
        }
    }
}

/// `[changes]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// How long a change may take until it fails, 1 s to 24 h; a source may have its own.
    #[serde(deserialize_with = "deadline")]
    pub deadline: Duration,
    /// How many changes this node carries out at once, 0 to 4096; 0 for a node that only accepts.
    #[serde(deserialize_with = "workers")]
    pub workers: usize,
    /// How many of them on one source, 1 to 4096.
    #[serde(deserialize_with = "crowd")]
    pub per_source: usize,
    /// How old the sign-in behind a token may be that changes its person's password, 1 s to 24 h; 0
    /// for no limit.
    #[serde(deserialize_with = "no_or_deadline")]
    pub self_change_requires_recent_auth: Duration,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            deadline: Duration::from_mins(15),
            workers: 64,
            per_source: 8,
            self_change_requires_recent_auth: Duration::ZERO,
        }
    }
}

/// `[egress]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Hosts and networks that sources may reach; empty for all but link-local and metadata
    /// addresses.
    #[serde(deserialize_with = "egress")]
    pub allow: Egress,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per client and API version in 10 s; 0 for none.
    pub requests_per_10s: u32,
    /// Connections at once from one IPv4 address or one /64 of IPv6; 0 for no such limit.
    pub connections_per_network: usize,
    /// Accounts that a source may list, and that are kept of it, 1 to 100,000,000.
    #[serde(deserialize_with = "accounts")]
    pub accounts_per_source: usize,
    /// MiB of names, ids and attributes that are kept of a source, 1 to 1,000,000.
    #[serde(deserialize_with = "megabytes")]
    pub megabytes_per_source: usize,
    /// How long a source may take to list them, 1 s to 24 h.
    #[serde(deserialize_with = "deadline")]
    pub aggregation_time: Duration,
    /// Sources that one person owns, or one caller created; 0 for no limit. No limit for an
    /// `ORG_ADMIN`.
    pub sources_per_owner: u32,
    /// Password changes of one account in 24 h; 0 for no limit.
    pub changes_per_account_per_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_10s: 100,
            connections_per_network: 256,
            accounts_per_source: 1_000_000,
            megabytes_per_source: 1024,
            aggregation_time: Duration::from_hours(1),
            sources_per_owner: 100,
            changes_per_account_per_day: 1000,
        }
    }
}

/// `[keys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// How long a key is given out until it is rotated, 1 hour to 400 days.
    #[serde(deserialize_with = "lifetime")]
    pub lifetime: Duration,
    /// How long a rotated key still decrypts, 1 s to 90 days.
    #[serde(deserialize_with = "grace")]
    pub grace: Duration,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { lifetime: Duration::from_hours(30 * 24), grace: Duration::from_hours(7 * 24) }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or per module: `info,rekey::jobs=debug`.
    pub filter: String,
    /// One JSON object per line.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Address and port of `/metrics`; none for no metrics.
    #[serde(deserialize_with = "no_or_address")]
    pub listen: Option<SocketAddr>,
}

/// `[traces]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Where an OpenTelemetry collector takes spans over OTLP/HTTP; empty for no traces.
    #[serde(deserialize_with = "collector")]
    pub endpoint: String,
}

impl Config {
    /// The URL clients use.
    pub fn base_url(&self) -> String {
        if self.server.base_url.is_empty() {
            format!("http://{}", self.server.listen)
        } else {
            self.server.base_url.trim_end_matches('/').to_owned()
        }
    }

    /// The file of the master key.
    pub fn master_key_file(&self) -> PathBuf {
        self.store.master_key_file.clone().unwrap_or_else(|| self.store.folder.join("master.key"))
    }

    /// The store: a file, or a `postgres://` URL.
    pub fn store_url(&self) -> Result<String, crate::Error> {
        if let Some(file) = &self.store.url_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                crate::Error::Setup(format!(
                    "store.url_file {} cannot be read: {error}",
                    file.display()
                ))
            })?;
            return Ok(text.trim().to_owned());
        }
        if self.store.url.is_empty() {
            return Ok(self.store.folder.join("rekey.db").display().to_string());
        }
        Ok(self.store.url.clone())
    }
}
