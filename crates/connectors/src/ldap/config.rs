//! What a source of kind `ldap` is configured with.

use std::sync::Arc;

use rekey_vault::Password;
use rustls::ClientConfig;
use serde::Deserialize;

use super::{dn, filter::Filter};
use crate::{
    Fault,
    net::{check_host, misconfigured},
    protected::Protected,
    secret::secret,
    tls,
};

/// The connector attributes of a directory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// A name, or an IPv4 address; the server's certificate must carry it.
    pub(super) host: String,
    /// 636 for `ldaps`, else 389.
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) tls: Tls,
    /// Allows `tls: none`: passwords then cross the network in clear.
    #[serde(default)]
    pub(super) allow_insecure: bool,
    /// The authority that signed the server's certificate, as PEM text; else the system's count.
    pub(super) ca_certificate: Option<String>,
    /// The account rekey signs in with.
    pub(super) bind_dn: String,
    #[serde(deserialize_with = "secret")]
    pub(super) bind_password: Password,
    /// Accounts below this entry are served; nothing else can be changed.
    pub(super) base_dn: String,
    /// Which entries are accounts (RFC 4515).
    #[serde(default = "account_filter")]
    pub(super) account_filter: String,
    /// The attribute whose value people know an account by.
    #[serde(default = "name_attribute")]
    pub(super) name_attribute: String,
    /// The attributes an account is listed with, besides its name; never a password.
    #[serde(default = "attributes")]
    pub(super) attributes: Vec<String>,
    /// How many connections are open at once, 1 to 64.
    #[serde(default = "max_connections")]
    pub(super) max_connections: usize,
    /// Accounts that are never changed, whatever rekey is asked.
    #[serde(default)]
    pub(super) protected_accounts: Protected,
}

/// How the connection is secured.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tls {
    /// TLS from the first byte.
    #[default]
    Ldaps,
    /// Nothing at all; for tests on one machine.
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
    /// Reads [`Self::account_filter`].
    pub(super) fn filter(&self) -> Result<Filter, Fault> {
        Filter::parse(&self.account_filter)
            .map_err(|error| misconfigured(format!("accountFilter: {error}")))
    }

    /// Checks what can be checked without a connection, and makes the client side of TLS.
    pub(super) fn check(&self) -> Result<Option<Arc<ClientConfig>>, Fault> {
        check_host(&self.host)?;
        if dn::parts(&self.bind_dn).is_empty() {
            return Err(misconfigured("bindDn: give the account that rekey signs in with"));
        }
        if self.bind_password.expose().is_empty() {
            // RFC 4513, section 5.1.2: the server would say yes to an anonymous user.
            return Err(misconfigured("bindPassword: must not be empty"));
        }
        if dn::parts(&self.base_dn).is_empty() {
            return Err(misconfigured("baseDn: give the entry that the accounts are below"));
        }
        if !(1..=64).contains(&self.max_connections) {
            return Err(misconfigured("maxConnections: give a number from 1 to 64"));
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

/// Whether `name` is an attribute's name (RFC 4512, section 2.5) and cannot hold a password.
fn is_listable(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
    let secret = ["userpassword", "pwdhistory", "unicodepwd", "authpassword"];
    !name.is_empty()
        && name.chars().all(is_name)
        && !secret.iter().any(|s| lower.starts_with(s))
        && !lower.contains("password")
}

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
