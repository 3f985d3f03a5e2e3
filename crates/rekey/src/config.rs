//! The settings. The commented default file is their documentation.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

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
    /// How much is too much.
    pub limits: Limits,
    /// How source keys are kept.
    pub keys: KeySettings,
    /// What it writes down.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    pub listen: SocketAddr,
    /// The URL clients use, without a trailing slash; empty for `http://LISTEN`.
    pub base_url: String,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), base_url: String::new() }
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
    pub url_file: Option<PathBuf>,
    /// The file of the key encryption key; empty for `master.key` in the folder.
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
    /// How long a change may take until it fails, 1 min to 24 h; a source may have its own.
    #[serde(deserialize_with = "span")]
    pub deadline: Duration,
    /// How many changes this node carries out at once; 0 for a node that only accepts.
    pub workers: usize,
    /// How many of them on one source.
    pub per_source: usize,
}

impl Default for Changes {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(15 * 60), workers: 64, per_source: 8 }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per client and API version in 10 s; 0 for none.
    pub requests_per_10s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_10s: 100 }
    }
}

/// `[keys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// How long a rotated key still decrypts.
    #[serde(deserialize_with = "span")]
    pub grace: Duration,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(7 * 24 * 3600) }
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

impl Config {
    /// The URL clients use.
    pub fn base_url(&self) -> String {
        if self.server.base_url.is_empty() {
            format!("http://{}", self.server.listen)
        } else {
            self.server.base_url.trim_end_matches('/').to_owned()
        }
    }
}

/// `15m`, `24h`, `90s`, `7d`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().or_else(|_| days(text)).map_err(|()| {
        format!("`{text}` is not a length of time: write it like 90s, 15m, 24h or 7d")
    })?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

fn days(text: &str) -> Result<jiff::SignedDuration, ()> {
    let days: i64 = text.strip_suffix('d').and_then(|n| n.trim().parse().ok()).ok_or(())?;
    Ok(jiff::SignedDuration::from_hours(days.checked_mul(24).ok_or(())?))
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text).map_err(serde::de::Error::custom)
}
