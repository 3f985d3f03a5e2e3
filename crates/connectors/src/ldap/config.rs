//! The configuration of a source of kind `ldap`.

use std::sync::Arc;

use rekey_vault::Password;
use rustls::ClientConfig;
use serde::Deserialize;

use super::{dn, filter::Filter};
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

/// The connector attributes of a directory, each with its reach.
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
    .or("636 for `ldaps`, else 389"),
    Attribute::new(
        "tls",
        Shape::Choice(&["ldaps", "starttls", "none"]),
        Reach::Where,
        Group::Connection,
        "how the connection is secured",
    )
    .or("`ldaps`"),
    ALLOW_INSECURE,
    CA_CERTIFICATE,
    MAX_CONNECTIONS.or("8"),
    Attribute::new(
        "bindDn",
        Shape::Text,
        Reach::Where,
        Group::SignIn,
        "the entry that rekey signs in with",
    )
    .required(),
    Attribute::new(
        "bindPassword",
        Shape::Text,
        Reach::Nothing,
        Group::SignIn,
        "its password",
    )
    .required()
    .secret(),
    Attribute::new(
        "baseDn",
        Shape::Text,
        Reach::Who,
        Group::Accounts,
        "accounts below this entry are served, and no others can be changed",
    )
    .required(),
    Attribute::new(
        "accountFilter",
        Shape::Text,
        Reach::Who,
        Group::Accounts,
        "which entries are accounts (RFC 4515), at most 32 levels deep",
    )
    .or("`(objectClass=inetOrgPerson)`"),
    Attribute::new(
        "nameAttribute",
        Shape::Text,
        Reach::Who,
        Group::Accounts,
        "the attribute whose value people know an account by",
    )
    .or("`uid`"),
    Attribute::new(
        "attributes",
        Shape::Texts,
        Reach::Who,
        Group::Accounts,
        "the attributes that rekey reads and shows of an account; names that stand for secrets are refused",
    )
    .or("`cn`, `displayName`, `employeeNumber`, `givenName`, `mail`, `sn`, `uid`"),
    PROTECTED_ACCOUNTS,
];

/// The connector attributes of a directory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// A name or an IPv4 address, which the server's certificate must carry.
    pub(super) host: String,
    /// The TCP port; 636 for `ldaps` and 389 otherwise by default.
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) tls: Tls,
    /// Allows `tls: none`, with which passwords cross the network in clear.
    #[serde(default)]
    pub(super) allow_insecure: bool,
    /// The authority that signed the server's certificate, as PEM text; default: the system's.
    pub(super) ca_certificate: Option<String>,
    /// The account with which rekey signs in.
    pub(super) bind_dn: String,
    #[serde(deserialize_with = "secret")]
    pub(super) bind_password: Password,
    /// The entry below which accounts are served; no others can be changed.
    pub(super) base_dn: String,
    /// The filter that selects accounts (RFC 4515).
    #[serde(default = "account_filter")]
    pub(super) account_filter: String,
    /// The attribute that holds an account's display name.
    #[serde(default = "name_attribute")]
    pub(super) name_attribute: String,
    /// The attributes with which an account is listed, besides its name; never a password.
    #[serde(default = "attributes")]
    pub(super) attributes: Vec<String>,
    /// The greatest number of open connections, 1 to 64.
    #[serde(default = "max_connections")]
    pub(super) max_connections: usize,
    /// Patterns of accounts that are never changed, whatever the request.
    #[serde(default)]
    pub(super) protected_accounts: Protected,
}

/// The protection of the connection.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tls {
    /// TLS from the first byte.
    #[default]
    Ldaps,
    /// No TLS; for tests on one machine.
    None,
    /// TLS from the `StartTLS` operation on (RFC 4511, section 4.14), before any credential.
    #[serde(rename = "starttls")]
    Upgraded,
}

fn account_filter() -> String {
    "(objectClass=inetOrgPerson)".to_owned()
}

fn name_attribute() -> String {
    "uid".to_owned()
}

fn attributes() -> Vec<String> {
    ["cn", "displayName", "employeeNumber", "givenName", "mail", "sn", "uid"]
        .map(str::to_owned)
        .to_vec()
}

fn max_connections() -> usize {
    8
}

impl Config {
    /// Parses [`Self::account_filter`].
    pub(super) fn filter(&self) -> Result<Filter, Fault> {
        Filter::parse(&self.account_filter)
            .map_err(|error| misconfigured(format!("accountFilter: {error}")))
    }

    /// Checks everything that needs no connection, and builds the TLS client configuration.
    pub(super) fn check(&self) -> Result<Option<Arc<ClientConfig>>, Fault> {
        check_host(&self.host)?;
        if dn::parts(&self.bind_dn).is_empty() {
            return Err(misconfigured("bindDn: give the account that rekey signs in with"));
        }
        if self.bind_password.expose().is_empty() {
            // RFC 4513, section 5.1.2: the server would accept the bind as anonymous.
            return Err(misconfigured("bindPassword: must not be empty"));
        }
        if dn::parts(&self.base_dn).is_empty() {
            return Err(misconfigured("baseDn: give the entry that the accounts are below"));
        }
        for name in self.attributes.iter().chain([&self.name_attribute]) {
            if !is_listable(name) {
                return Err(misconfigured(format!("attributes: {name:?} cannot be listed")));
            }
        }
        match self.tls {
            Tls::Ldaps | Tls::Upgraded => tls::client(self.ca_certificate.as_deref()).map(Some),
            Tls::None if self.allow_insecure => Ok(None),
            Tls::None => Err(misconfigured(
                "tls: \"none\" sends passwords in clear: use \"ldaps\" or \"starttls\", or set \
                 allowInsecure to true on a test system",
            )),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            Tls::Ldaps => 636,
            Tls::None | Tls::Upgraded => 389,
        })
    }
}

/// Whether `name` is the name of an attribute (RFC 4512, section 2.5) that does not usually hold a
/// secret. An OID is refused, because it would bypass the second check.
fn is_listable(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(is_name)
        && !SECRET.iter().any(|part| lower.contains(part))
}

/// Parts of the names of attributes that hold passwords, verifiers or other secrets, in lower case:
/// `userPassword`, `unicodePwd`, `sambaNTPassword`, `krbPrincipalKey`, `ipaNTHash`, `oathSecret`,
/// `ipatokenOTPkey`, `userPKCS12`, `supplementalCredentials`.
const SECRET: &[&str] = &[
    "passw",
    "pwd",
    "secret",
    "hash",
    "krbprincipalkey",
    "krbextradata",
    "oath",
    "otp",
    "seed",
    "token",
    "pkcs12",
    "credential",
    "privatekey",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Egress, FaultKind, kind};

    fn open(change: &Value) -> Result<(), String> {
        let mut attributes = json!({
            "host": "ldap.example.com", "bindDn": "cn=rekey", "bindPassword": "x",
            "baseDn": "dc=example", "tls": "none", "allowInsecure": true
        });
        for (name, value) in change.as_object().unwrap() {
            attributes[name] = value.clone();
        }
        kind("ldap").unwrap().open(attributes, &Egress::default()).map(drop).map_err(|fault| {
            assert_eq!(fault.kind, FaultKind::Misconfigured);
            fault.message
        })
    }

    #[test]
    fn a_wrong_attribute_is_named() {
        open(&json!({})).unwrap();
        let deep = format!("{}(a=b){}", "(!".repeat(31), ")".repeat(31));
        open(&json!({"accountFilter": deep})).unwrap();
        // Filters side by side add no depth.
        open(&json!({"accountFilter": format!("(|{})", "(a=b)".repeat(800))})).unwrap();
        for (change, named) in [
            (json!({"host": "ldap://x"}), "host"),
            (json!({"bindPassword": ""}), "bindPassword"),
            (json!({"bindDn": ""}), "bindDn"),
            (json!({"baseDn": ""}), "baseDn"),
            (json!({"accountFilter": "(x"}), "accountFilter"),
            (json!({"accountFilter": "(!".repeat(30_000)}), "accountFilter"),
            (
                json!({"accountFilter": format!("{}(a=b){}", "(!".repeat(99), ")".repeat(99))}),
                "deep",
            ),
            (json!({"allowInsecure": false}), "tls"),
            (json!({"attributes": ["userPassword"]}), "attributes"),
            (json!({"attributes": ["2.5.4.35"]}), "attributes"),
            (json!({"attributes": ["oathSecret"]}), "attributes"),
            (json!({"attributes": ["*"]}), "attributes"),
            (json!({"nameAttribute": "sambaNTPassword;x"}), "attributes"),
            (
                json!({"accountFilter": format!("{}(a=b){}", "(!".repeat(32), ")".repeat(32))}),
                "accountFilter",
            ),
            (json!({"accountFilter": "(!".repeat(2_000)}), "accountFilter"),
            (json!({"accountFilter": "(!".repeat(1_000_000)}), "accountFilter"),
            (json!({"maxConnections": 0}), "maxConnections"),
            (json!({"protectedAccounts": [""]}), "protectedAccounts"),
            (json!({"surprise": 1}), "surprise"),
            (json!({"tls": "ldaps", "caCertificate": "no"}), "caCertificate"),
        ] {
            let message = open(&change).unwrap_err();
            assert!(message.contains(named), "{named}: {message}");
        }
    }
}
