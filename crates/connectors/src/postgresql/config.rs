//! The configuration of a source of kind `postgresql`.

use std::sync::Arc;

use rekey_vault::Password;
use rustls::ClientConfig;
use serde::Deserialize;

use crate::{
    Fault,
    attribute::{
        ALLOW_INSECURE, Attribute, CA_CERTIFICATE, Group, MAX_CONNECTIONS, PROTECTED_ACCOUNTS,
        Reach, Shape,
    },
    net::{check_host, misconfigured},
    protected::Protected,
    secret::secret,
    tls,
};

/// The connector attributes of a database server, each with its reach.
pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute::new(
        "host",
        Shape::Text,
        Reach::Where,
        Group::Connection,
        "a name or an IPv4 address; the server's certificate must carry it",
    )
    .required(),
    Attribute::new(
        "port",
        Shape::Number(1, 65_535),
        Reach::Where,
        Group::Connection,
        "the TCP port",
    )
    .or("5432"),
    Attribute::new(
        "database",
        Shape::Text,
        Reach::Where,
        Group::Connection,
        "the database to connect to; roles belong to the whole server",
    )
    .or("`postgres`"),
    Attribute::new(
        "tls",
        Shape::Choice(&["verify-full", "none"]),
        Reach::Where,
        Group::Connection,
        "how the connection is secured",
    )
    .or("`verify-full`"),
    ALLOW_INSECURE,
    CA_CERTIFICATE,
    MAX_CONNECTIONS.or("4"),
    Attribute::new(
        "user",
        Shape::Text,
        Reach::Where,
        Group::SignIn,
        "the role that rekey signs in with",
    )
    .required(),
    Attribute::new("password", Shape::Text, Reach::Nothing, Group::SignIn, "its password")
        .required()
        .secret(),
    PROTECTED_ACCOUNTS,
];

/// The connector attributes of a database server.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// A name or an IPv4 address, which the server's certificate must carry.
    pub(super) host: String,
    #[serde(default = "port")]
    pub(super) port: u16,
    /// The database to connect to; roles belong to the whole server.
    #[serde(default = "database")]
    pub(super) database: String,
    #[serde(default)]
    pub(super) tls: Tls,
    /// Allows `tls: none`.
    #[serde(default)]
    pub(super) allow_insecure: bool,
    /// The authority that signed the server's certificate, as PEM text; by default, the authorities
    /// that the operating system trusts.
    pub(super) ca_certificate: Option<String>,
    /// The role with which rekey signs in.
    pub(super) user: String,
    #[serde(deserialize_with = "secret")]
    pub(super) password: Password,
    /// The greatest number of open connections, 1 to 64.
    #[serde(default = "max_connections")]
    pub(super) max_connections: usize,
    /// Patterns of roles that are never changed, in addition to privileged roles.
    #[serde(default)]
    pub(super) protected_accounts: Protected,
}

/// The protection of the connection.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tls {
    /// No TLS; for tests on one machine.
    None,
    /// TLS with a verified certificate and name, and SCRAM bound to that TLS channel: the server
    /// cannot ask for a weaker sign-in.
    #[default]
    VerifyFull,
}

fn port() -> u16 {
    5432
}

fn database() -> String {
    "postgres".to_owned()
}

fn max_connections() -> usize {
    4
}

impl Config {
    /// Checks everything that needs no connection, and builds the TLS client configuration.
    pub(super) fn check(&self) -> Result<Option<Arc<ClientConfig>>, Fault> {
        check_host(&self.host)?;
        for (name, value) in [
            ("user", self.user.as_str()),
            ("password", self.password.expose()),
            ("database", self.database.as_str()),
        ] {
            if value.is_empty() || value.contains('\0') {
                return Err(misconfigured(format!("{name}: must not be empty or contain NUL")));
            }
        }
        match self.tls {
            Tls::VerifyFull => tls::client(self.ca_certificate.as_deref()).map(Some),
            Tls::None if self.allow_insecure => Ok(None),
            Tls::None => Err(misconfigured(
                "tls: \"none\" protects nothing: use \"verify-full\", or set allowInsecure to \
                 true on a test system",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Egress, FaultKind, kind};

    fn open(change: &Value) -> Result<(), String> {
        let mut attributes = json!({
            "host": "db.example.com", "user": "rekey", "password": "x",
            "tls": "none", "allowInsecure": true
        });
        for (name, value) in change.as_object().unwrap() {
            attributes[name] = value.clone();
        }
        kind("postgresql").unwrap().open(attributes, &Egress::default()).map(drop).map_err(
            |fault| {
                assert_eq!(fault.kind, FaultKind::Misconfigured);
                fault.message
            },
        )
    }

    #[test]
    fn a_wrong_attribute_is_named() {
        open(&json!({})).unwrap();
        for (change, named) in [
            (json!({"host": "/var/run"}), "host"),
            (json!({"user": ""}), "user"),
            (json!({"password": ""}), "password"),
            (json!({"allowInsecure": false}), "tls"),
            (json!({"tls": "prefer"}), "tls"),
            (json!({"maxConnections": 65}), "maxConnections"),
            (json!({"protectedAccounts": [""]}), "protectedAccounts"),
            (json!({"surprise": 1}), "surprise"),
            (json!({"tls": "verify-full", "caCertificate": "no"}), "caCertificate"),
        ] {
            let message = open(&change).unwrap_err();
            assert!(message.contains(named), "{named}: {message}");
        }
    }
}
