//! The settings. The commented default file documents them.

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

/// All settings, with their defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How clients reach rekey.
    pub server: Server,
    /// Where rekey stores its data.
    pub store: StoreSettings,
    /// How changes are executed.
    pub changes: Changes,
    /// Which systems rekey may reach.
    pub egress: EgressSettings,
    /// Limits on the load and the data.
    pub limits: Limits,
    /// How long source keys are used.
    pub keys: KeySettings,
    /// The log.
    pub log: Log,
    /// Where metrics are served.
    pub metrics: MetricsSettings,
    /// Where traces are exported.
    pub traces: Traces,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address and port on which rekey listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The URL clients use, without a trailing slash; empty for `http://LISTEN`.
    #[serde(deserialize_with = "web_url")]
    pub base_url: String,
    /// The networks of the proxies that are trusted to report a client's address; empty for none.
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
    /// The path of a file, or a `postgres://` URL; empty for `rekey.db` in the folder.
    pub url: String,
    /// The file from which the URL is read instead, since it may contain a password.
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
    /// Deadline of a change, 1 s to 24 h; a source may have its own.
    #[serde(deserialize_with = "deadline")]
    pub deadline: Duration,
    /// How many changes this node executes at once, 0 to 4096; 0 for a node that only accepts.
    #[serde(deserialize_with = "workers")]
    pub workers: usize,
    /// How many of these may be on one source, 1 to 4096.
    #[serde(deserialize_with = "crowd")]
    pub per_source: usize,
    /// Maximum age, 1 s to 24 h, of the sign-in behind a token that changes its own person's
    /// password; 0 for no limit.
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
    /// Requests per client and API version in 10 s; 0 for no limit.
    pub requests_per_10s: u32,
    /// Concurrent connections from one IPv4 address or one /64 of IPv6; 0 for no limit.
    pub connections_per_network: usize,
    /// Accounts that a source may list, and that are stored of it, 1 to 100,000,000.
    #[serde(deserialize_with = "accounts")]
    pub accounts_per_source: usize,
    /// MiB of names, ids and attributes that are stored of a source, 1 to 1,000,000.
    #[serde(deserialize_with = "megabytes")]
    pub megabytes_per_source: usize,
    /// Time in which a source must list its accounts, 1 s to 24 h.
    #[serde(deserialize_with = "deadline")]
    pub aggregation_time: Duration,
    /// Sources that one person may own, or one caller may create; 0 for no limit. An `ORG_ADMIN`
    /// has no limit.
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
    /// Age at which a key is rotated, 1 hour to 400 days.
    #[serde(deserialize_with = "lifetime")]
    pub lifetime: Duration,
    /// Time in which a rotated key still decrypts, 1 s to 90 days.
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
    /// The address and port of `/metrics`; `None` for no metrics.
    #[serde(deserialize_with = "no_or_address")]
    pub listen: Option<SocketAddr>,
}

/// `[traces]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The URL at which an OpenTelemetry collector takes spans over OTLP/HTTP; empty for no traces.
    #[serde(deserialize_with = "collector")]
    pub endpoint: String,
}

impl Config {
    /// Returns the URL that clients use, without a trailing slash.
    pub fn base_url(&self) -> String {
        if self.server.base_url.is_empty() {
            format!("http://{}", self.server.listen)
        } else {
            self.server.base_url.trim_end_matches('/').to_owned()
        }
    }

    /// Returns the file of the master key.
    pub fn master_key_file(&self) -> PathBuf {
        self.store.master_key_file.clone().unwrap_or_else(|| self.store.folder.join("master.key"))
    }

    /// Returns the location of the store: the path of a file, or a `postgres://` URL.
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
