//! Connectors to the systems on which rekey changes passwords.
//!
//! A *connector* supports one kind of system. To add one, write one file that implements
//! [`Connector`] and [`Kind`], and add one line to [`KINDS`].
//!
//! This crate depends on neither HTTP nor the store nor jobs: a connector receives an account and a
//! password, and returns an [`Outcome`], or a [`Fault`] if the call failed.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use rekey_vault::Password;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

pub mod attribute;
mod certificate;
#[cfg(feature = "conformance")]
pub mod conformance;
mod egress;
mod fault;
#[cfg(feature = "ldap")]
pub mod ldap;
mod near;
mod net;
#[cfg(any(feature = "ldap", feature = "postgresql"))]
mod pool;
#[cfg(feature = "postgresql")]
pub mod postgresql;
mod proof;
#[cfg(any(feature = "ldap", feature = "postgresql"))]
mod protected;
mod said;
mod secret;
mod tls;

pub use self::{
    attribute::{Attribute, Difference, Reach},
    certificate::certificate_end,
    egress::Egress,
    fault::{Fault, FaultKind},
    near::nearest,
    said::{is_hidden, shown},
};

/// Every kind of connector that this build contains.
pub const KINDS: &[Entry] = &[
    #[cfg(feature = "ldap")]
    Entry::of::<ldap::Directory>(),
    #[cfg(feature = "postgresql")]
    Entry::of::<postgresql::Database>(),
];

/// An open connector of one source. The host keeps one per source and version of its configuration,
/// and limits the number of concurrent calls.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Checks that the source answers and accepts rekey's own credentials.
    async fn test(&self) -> Result<(), Fault>;

    /// Sends every account to the channel; the channel's capacity bounds the memory in use.
    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault>;

    /// Reads the account's change stamp, stable id and correlation values; the caller compares them
    /// with those it stored. Fails unless the account exists and could be changed now. Changes
    /// nothing.
    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault>;

    /// Sets the password once. Changes nothing if the stamp differs from `observed` (where the
    /// source can compare and set), or if the name now belongs to an account with another stable
    /// id. Sends nothing after `deadline`.
    ///
    /// Returns `Unknown` whenever a byte may have been sent and the answer is missing: rekey then
    /// observes and verifies before it does anything else, and never repeats a write blindly.
    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome;

    /// Checks whether exactly this password is in force: by comparison where the source allows it,
    /// else by one login. On the source, a login with a wrong password counts as a failed one.
    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault>;
}

/// The properties of a kind of connector, known before a source is opened.
pub trait Kind: Connector + Sized + 'static {
    /// The `connector` value in a source's configuration.
    const NAME: &'static str;
    /// The display name, `connectorName` on the wire.
    const DISPLAY_NAME: &'static str;
    /// The system's features, and so the features that a source of this kind may offer.
    const FEATURES: &'static [Feature];
    /// The kind's own connector attributes; [`Entry::declared`] adds those of every kind.
    const ATTRIBUTES: &'static [Attribute];
    /// Whether the system gives each account an id that outlives a rename and is never reused for
    /// another account, and the connector reads and compares it.
    const STABLE_ID: bool;
    /// Whether the system ignores ASCII case when it compares names and attributes.
    const IGNORES_CASE: bool;
    /// The verification after a change that the source confirmed.
    const VERIFICATION: Verification;
    /// The source's `connectorAttributes`, without those that the host reads.
    type Config: DeserializeOwned;

    /// Checks the configuration. The connector connects at the first call or later, and only to
    /// addresses that `egress` allows.
    fn open(config: Self::Config, egress: &Egress) -> Result<Self, Fault>;
}

/// An account as rekey has stored it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The source's own name for it; the source may later give it to another account.
    pub native_identity: &'a str,
    /// The system's id that outlives a rename; `None` if it has none or rekey has not read it.
    pub stable_id: Option<&'a str>,
    /// The attribute whose values [`Connector::observe`] returns, spelled as in the source's
    /// correlation; see [`Listed::values`].
    pub correlated_by: Option<&'a str>,
}

/// The result of [`Connector::observe`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The change stamp: it differs after every change of the password.
    pub stamp: Stamp,
    /// The system's id of the account, if the system has one.
    pub stable_id: Option<String>,
    /// The current values of [`Account::correlated_by`], as found by [`Listed::values`].
    pub correlation: Vec<String>,
}

/// The fault for an account whose name now belongs to another account.
pub fn another_account() -> Fault {
    Fault::new(
        FaultKind::NoAccount,
        "the name of the account belongs to another account now: aggregate the source",
    )
}

/// A new password for one account.
pub struct Change<'a> {
    /// The account to change.
    pub account: Account<'a>,
    /// The new password.
    pub password: &'a Password,
    /// Random bytes that stay the same for every attempt of this change, so that a retry derives a
    /// byte-identical verifier.
    pub salt: [u8; 16],
}

/// An account as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The source's own name for it: a DN, a login or a role; `accountId` on the wire.
    pub native_identity: String,
    /// The id that outlives a rename, at most 128 characters, if the system has one.
    pub stable_id: Option<String>,
    /// The display name, `accountName` on the wire.
    pub name: String,
    /// Attributes: texts, numbers, booleans or arrays of texts. Never a password or verifier.
    pub attributes: Map<String, Value>,
    /// Whether the source says that the account is disabled: nobody can sign in with it.
    pub disabled: bool,
    /// Whether the source has locked the account.
    pub locked: bool,
}

impl Listed {
    /// The values of `attribute` for correlation with a person. `nativeIdentity` is the native
    /// identity; `name` is the display name, unless the account has an attribute of that name.
    ///
    /// Connectors use this for observations as well, so that an aggregation and a change never
    /// correlate one account with different people.
    pub fn values(&self, attribute: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        };
        match (attribute, self.attributes.get(attribute)) {
            ("nativeIdentity", _) => vec![self.native_identity.clone()],
            (_, Some(Value::Array(all))) => all.iter().filter_map(text).collect(),
            (_, Some(one)) => text(one).into_iter().collect(),
            ("name", None) => vec![self.name.clone()],
            (_, None) => Vec::new(),
        }
    }
}

/// A value that differs after every change of an account's password, in the source's own format;
/// compared for equality only. Empty if the source has no such value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(pub String);

impl Stamp {
    /// Whether the source has such a value.
    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }
}

/// The result of [`Connector::apply`].
#[derive(Debug)]
pub enum Outcome {
    /// The source confirmed the change.
    Applied,
    /// Nothing changed, for a reason other than the password: the fault says whether to retry.
    NotApplied(Fault),
    /// The source refused this password permanently.
    Rejected(Rejection),
    /// A request was sent, but no answer arrived.
    Unknown(Fault),
}

/// The reason why a source refused a password.
#[derive(Debug)]
pub struct Rejection {
    /// A sentence for people: the rule of the source that was not met, if the source named it.
    pub message: String,
    /// Whether the source refused the password as equal to the current one or one in its history:
    /// after a lost answer, that may mean that rekey's own write succeeded.
    pub reused: bool,
}

/// The result of [`Connector::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source does not show which password is in force.
    CannotTell,
    /// Another password is in force.
    No,
    /// This password is in force.
    Yes,
}

/// The method by which a confirmed change is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// By [`Connector::verify`], which compares exactly and costs no login.
    Exact,
    /// By a changed stamp; a login is spent only after a lost answer.
    Stamp,
}

/// A feature of a source, spelled as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Feature {
    /// Passwords can be checked against the source.
    Authenticate,
    /// Passwords can be set.
    Password,
}

/// Checks connector attributes and opens the connector.
type Open = fn(Value, &Egress) -> Result<Arc<dyn Connector>, Fault>;

/// An entry of [`KINDS`].
#[derive(Clone, Copy)]
pub struct Entry {
    /// See [`Kind::NAME`].
    pub name: &'static str,
    /// See [`Kind::DISPLAY_NAME`].
    pub display_name: &'static str,
    /// See [`Kind::FEATURES`].
    pub features: &'static [Feature],
    /// See [`Kind::ATTRIBUTES`].
    pub attributes: &'static [Attribute],
    /// See [`Kind::STABLE_ID`].
    pub stable_id: bool,
    /// See [`Kind::IGNORES_CASE`].
    pub ignores_case: bool,
    /// See [`Kind::VERIFICATION`].
    pub verification: Verification,
    open: Open,
}

impl Entry {
    /// The entry of kind `K`.
    pub const fn of<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            display_name: K::DISPLAY_NAME,
            features: K::FEATURES,
            attributes: K::ATTRIBUTES,
            stable_id: K::STABLE_ID,
            ignores_case: K::IGNORES_CASE,
            verification: K::VERIFICATION,
            open: |attributes, egress| Ok(Arc::new(K::open(parse(attributes)?, egress)?)),
        }
    }

    /// Every attribute that a source of this kind takes.
    pub fn declared(&self) -> Vec<&'static Attribute> {
        self.attributes.iter().chain(attribute::OF_EVERY_KIND).collect()
    }

    /// Fails if connector attributes do not match the declarations of the kind.
    pub fn check(&self, attributes: &Map<String, Value>) -> Result<(), Fault> {
        attribute::check(&self.declared(), attributes, "connectorAttributes")
            .map_err(|text| Fault::new(FaultKind::Misconfigured, text))
    }

    /// The attributes in which two configurations of a source differ.
    pub fn differences(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Vec<Difference> {
        attribute::differences(&self.declared(), old, new)
    }

    /// Checks the connector attributes and opens the connector, which connects at the first call.
    pub fn open(&self, attributes: Value, egress: &Egress) -> Result<Arc<dyn Connector>, Fault> {
        let Value::Object(mut attributes) = attributes else {
            return Err(Fault::new(
                FaultKind::Misconfigured,
                "connectorAttributes: give an object",
            ));
        };
        self.check(&attributes)?;
        // `null` counts as absent here, but not for every type of a configuration.
        attributes.retain(|name, value| {
            !value.is_null() && self.attributes.iter().any(|attribute| attribute.name == name)
        });
        (self.open)(Value::Object(attributes), egress)
    }
}

/// Reads connector attributes; the fault names the attribute that is wrong.
fn parse<C: DeserializeOwned>(attributes: Value) -> Result<C, Fault> {
    serde_path_to_error::deserialize(attributes).map_err(|error| {
        let (at, text) = (error.path().to_string(), error.inner().to_string());
        let place = if at == "." { String::new() } else { format!(".{at}") };
        // The serde text repeats a value of the wrong type, and the value may be a secret.
        let text = text.find(", expected ").filter(|_| text.starts_with("invalid ")).map_or_else(
            || text.clone(),
            |from| format!("wrong type or value{}", text.get(from..).unwrap_or_default()),
        );
        Fault::new(FaultKind::Misconfigured, format!("connectorAttributes{place}: {text}"))
    })
}

/// Finds a kind by its name.
pub fn kind(name: &str) -> Option<&'static Entry> {
    KINDS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_attribute_is_named_and_its_value_is_not() {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Config {
            _host: Option<String>,
            #[expect(dead_code, reason = "only its type matters")]
            bind_password: String,
        }
        let attributes = serde_json::json!({"host": "h", "bindPassword": 12_345_678});
        let fault = parse::<Config>(attributes).err().unwrap();
        assert_eq!(
            fault.message,
            "connectorAttributes.bindPassword: wrong type or value, expected a string"
        );
    }
}
