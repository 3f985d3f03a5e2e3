//! The systems rekey can change passwords on.
//!
//! A *connector* knows one kind of system. To add one, write one file that implements
//! [`Connector`] and [`Kind`], and add one line to [`KINDS`].
//!
//! This crate knows nothing of HTTP, of the store or of jobs: a connector gets an account and a
//! password, and answers with an [`Outcome`], or with a [`Fault`] when it must.

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

/// Every kind of connector in this crate and build.
pub const KINDS: &[Entry] = &[
    #[cfg(feature = "ldap")]
    Entry::of::<ldap::Directory>(),
    #[cfg(feature = "postgresql")]
    Entry::of::<postgresql::Database>(),
];

/// A live link to one source. The host keeps one per source and version of its configuration,
/// and bounds how many calls run at once.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Proves that the source answers and that rekey's own credentials work.
    async fn test(&self) -> Result<(), Fault>;

    /// Sends every account, in bounded memory: the channel pushes back.
    async fn accounts(&self, to: mpsc::Sender<Listed>) -> Result<(), Fault>;

    /// Proves that the account is there and could be changed now, and reads its change stamp and
    /// whose account it is. Changes nothing.
    /// The caller compares what it returns with what it knows.
    async fn observe(&self, account: &Account<'_>) -> Result<Observed, Fault>;

    /// Sets the password, once, if the stamp is still the one observed (where the source can
    /// compare and set), and the account is still the one with its stable id. Sends nothing after
    /// `deadline`.
    ///
    /// `Unknown` whenever something may have been sent and the answer is missing: rekey then
    /// observes and verifies before anything else, and never repeats blindly.
    async fn apply(&self, change: &Change<'_>, observed: &Stamp, deadline: Instant) -> Outcome;

    /// Whether this very password is in force: by exact comparison where the source allows it,
    /// else by one login, which counts as a failed login on the source if it is not.
    async fn verify(&self, change: &Change<'_>) -> Result<Verdict, Fault>;
}

/// What a connector says of itself before it is opened.
pub trait Kind: Connector + Sized + 'static {
    /// The `connector` value in a source's configuration.
    const NAME: &'static str;
    /// The name people read, the wire's `connectorName`.
    const DISPLAY_NAME: &'static str;
    /// What the system can do, and so what a source of this kind may offer.
    const FEATURES: &'static [Feature];
    /// Every connector attribute it takes; those of every kind come on top.
    const ATTRIBUTES: &'static [Attribute];
    /// Whether the system gives each account an id that outlives a rename and is never used again
    /// for another account, and the connector reads and compares it.
    const STABLE_ID: bool;
    /// Whether the system compares names and attributes without regard to ASCII case.
    const IGNORES_CASE: bool;
    /// How a change that the source confirmed is verified.
    const VERIFICATION: Verification;
    /// The source's `connectorAttributes`, without those that the host reads.
    type Config: DeserializeOwned;

    /// Checks the configuration; connects no earlier than the first call, and nowhere that `egress`
    /// does not allow.
    fn open(config: Self::Config, egress: &Egress) -> Result<Self, Fault>;
}

/// An account as rekey knows it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The source's own name for it: it may be given to another account later.
    pub native_identity: &'a str,
    /// The system's id that outlives a rename; none where it has none or rekey has not read it yet.
    pub stable_id: Option<&'a str>,
    /// The attribute whose values [`Connector::observe`] returns, spelled as a source's correlation
    /// spells it; see [`Listed::values`].
    pub correlated_by: Option<&'a str>,
}

/// What [`Connector::observe`] read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The change stamp: it differs after every change of the password.
    pub stamp: Stamp,
    /// The system's id of the account, where it has one.
    pub stable_id: Option<String>,
    /// What [`Listed::values`] finds for [`Account::correlated_by`] in the account as it is now.
    pub correlation: Vec<String>,
}

/// The fault of an account whose name now belongs to another account.
pub fn another_account() -> Fault {
    Fault::new(
        FaultKind::NoAccount,
        "the name of the account belongs to another account now: aggregate the source",
    )
}

/// One password for one account.
pub struct Change<'a> {
    /// Which account.
    pub account: Account<'a>,
    /// The new password.
    pub password: &'a Password,
    /// Random bytes that stay the same for every attempt of this change, so that a verifier made
    /// from them is byte-identical in a retry.
    pub salt: [u8; 16],
}

/// An account as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The source's own name for it: a DN, a login, a role. The wire's `accountId`.
    pub native_identity: String,
    /// The system's id that outlives a rename, at most 128 characters, where it has one.
    pub stable_id: Option<String>,
    /// The name people read. The wire's `accountName`.
    pub name: String,
    /// Its attributes: texts, numbers, booleans or arrays of texts. Never a password or verifier.
    pub attributes: Map<String, Value>,
    /// Whether the source says that nobody may sign in with it.
    pub disabled: bool,
    /// Whether the source locked it.
    pub locked: bool,
}

impl Listed {
    /// The texts by which an account may name its person: those of an attribute that it is listed
    /// with, else its name for `name`; for `nativeIdentity`, that.
    ///
    /// Connectors find what they observe with this as well: an aggregation and a change must not
    /// take the same account for two people's.
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

/// When an account's password last changed, in the source's own terms; compared for equality only.
/// Empty where the source cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(pub String);

impl Stamp {
    /// Whether the source can tell a change at all.
    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }
}

/// What became of [`Connector::apply`].
#[derive(Debug)]
pub enum Outcome {
    /// The source said yes.
    Applied,
    /// Nothing was changed, and the password is not at fault: the fault says whether to ask again.
    NotApplied(Fault),
    /// The source refused this password, for good.
    Rejected(Rejection),
    /// Something was sent and no answer came.
    Unknown(Fault),
}

/// Why a source refused a password.
#[derive(Debug)]
pub struct Rejection {
    /// A sentence a person may read: which rule of the source was not met, if it said so.
    pub message: String,
    /// Whether it was refused because it equals the one in force or one in the history: after a
    /// lost answer that may be our own success.
    pub reused: bool,
}

/// What [`Connector::verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is impossible to find out.
    CannotTell,
    /// Another password is in force.
    No,
    /// This password is in force.
    Yes,
}

/// How a confirmed change is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// [`Connector::verify`] compares exactly and costs no login.
    Exact,
    /// The stamp moved: a login is spent only after a lost answer.
    Stamp,
}

/// Something a source can do, spelled as the contract spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Feature {
    /// Passwords can be checked against the source.
    Authenticate,
    /// Passwords can be set.
    Password,
}

/// Checks connector attributes and makes the link.
type Open = fn(Value, &Egress) -> Result<Arc<dyn Connector>, Fault>;

/// A line in [`KINDS`].
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
    /// The line of a kind.
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

    /// Fails where connector attributes are not what the kind declares.
    pub fn check(&self, attributes: &Map<String, Value>) -> Result<(), Fault> {
        attribute::check(&self.declared(), attributes, "connectorAttributes")
            .map_err(|text| Fault::new(FaultKind::Misconfigured, text))
    }

    /// The attributes that two configurations of a source do not have in common.
    pub fn differences(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Vec<Difference> {
        attribute::differences(&self.declared(), old, new)
    }

    /// Checks the connector attributes and makes the link; connects at the first call.
    pub fn open(&self, attributes: Value, egress: &Egress) -> Result<Arc<dyn Connector>, Fault> {
        let Value::Object(mut attributes) = attributes else {
            return Err(Fault::new(
                FaultKind::Misconfigured,
                "connectorAttributes: give an object",
            ));
        };
        self.check(&attributes)?;
        // An absent value and `null` are the same here, and not for every type of a configuration.
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
        // serde repeats a value of the wrong type, and a value may be a secret.
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
