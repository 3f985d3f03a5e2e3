//! What a source of a kind is configured with.
//!
//! A kind declares each of its attributes once. Validation, the reference page, the sealing of
//! secrets and the rule who may change an attribute all follow from the declaration.

use serde_json::{Map, Value};

use crate::nearest;

/// The most bytes of a text.
const TEXT: usize = 4 * 1024;
/// The most bytes of certificates.
const CERTIFICATES: usize = 64 * 1024;
/// The most texts of a list.
const TEXTS: usize = 100;

/// One connector attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its name in `connectorAttributes`.
    pub name: &'static str,
    /// Which values it takes.
    pub shape: Shape,
    /// Whether a source needs it.
    pub required: bool,
    /// The value in force where the attribute is absent, in words for people.
    pub default: Option<&'static str>,
    /// Whether the store keeps it sealed.
    pub secret: bool,
    /// What depends on it besides the source's own connections.
    pub reach: Reach,
    /// The part of a form it stands in.
    pub group: Group,
    /// One sentence for the reference page and for forms.
    pub help: &'static str,
}

/// What a change of an attribute can do to other people: the rule who may change it depends on
/// this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It affects nobody but the source.
    Nothing,
    /// It names a program that rekey runs.
    Runs,
    /// It locates the system, and so decides where passwords are sent and how safely.
    Where,
    /// It selects accounts or the people they belong to.
    Who,
}

/// The parts of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which accounts there are, and whose.
    Accounts,
    /// How the system is reached.
    Connection,
    /// How rekey signs in to the system.
    SignIn,
}

/// The values an attribute takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// Certificates as PEM text, at most 64 KiB.
    Certificates,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number between two others, both included.
    Number(u64, u64),
    /// An object with attributes of its own.
    Object(&'static [Attribute]),
    /// A text of at most 4 KiB.
    Text,
    /// At most 100 texts.
    Texts,
}

impl Attribute {
    /// An attribute that a source may go without; the other members can be set in a struct update.
    pub const fn new(
        name: &'static str,
        shape: Shape,
        reach: Reach,
        group: Group,
        help: &'static str,
    ) -> Self {
        Self { name, shape, required: false, default: None, secret: false, reach, group, help }
    }

    /// The same attribute with the value that counts where it is absent.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same attribute, needed by every source of the kind.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same attribute as a secret.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// Attributes that several kinds take.
pub const ALLOW_INSECURE: Attribute = Attribute::new(
    "allowInsecure",
    Shape::Boolean,
    Reach::Where,
    Group::Connection,
    "allows `tls: none`, with which passwords or verifiers cross the network in clear: for tests on one machine",
)
.or("false");
/// See [`ALLOW_INSECURE`].
pub const CA_CERTIFICATE: Attribute = Attribute::new(
    "caCertificate",
    Shape::Certificates,
    Reach::Where,
    Group::Connection,
    "the authority that signed the server's certificate",
)
.or("those that the operating system trusts");
/// See [`ALLOW_INSECURE`].
pub const MAX_CONNECTIONS: Attribute = Attribute::new(
    "maxConnections",
    Shape::Number(1, 64),
    Reach::Nothing,
    Group::Connection,
    "how many connections are open at once",
);

/// See [`ALLOW_INSECURE`].
pub const PROTECTED_ACCOUNTS: Attribute = Attribute::new(
    "protectedAccounts",
    Shape::Texts,
    Reach::Who,
    Group::Accounts,
    "patterns over whole native identities, with `*` and `?`: rekey never changes these accounts",
);

/// What the host reads, whichever the kind: a connector never gets these.
pub const OF_EVERY_KIND: &[Attribute] = &[Attribute::new(
    "correlation",
    Shape::Object(&[
        Attribute::new(
            "accountAttribute",
            Shape::Text,
            Reach::Who,
            Group::Accounts,
            "the account's attribute; `nativeIdentity` and `name` are always there. People must not be able to write it themselves",
        )
        .required(),
        Attribute::new(
            "identityAttribute",
            Shape::Text,
            Reach::Who,
            Group::Accounts,
            "the identity's attribute that has the same value; `alias`, `name` and `email` are always there",
        )
        .required(),
        Attribute::new(
            "privileged",
            Shape::Boolean,
            Reach::Who,
            Group::Accounts,
            "whether an account may become that of a person with capabilities",
        )
        .or("false"),
    ]),
    Reach::Who,
    Group::Accounts,
    "how an account finds its person; without it accounts belong to nobody",
)];

/// Fails with a sentence that names the first attribute which is unknown, missing or of the wrong
/// shape; never with its value, which may be a secret.
pub fn check(
    declared: &[&'static Attribute],
    attributes: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    for name in attributes.keys() {
        if !declared.iter().any(|attribute| attribute.name == name) {
            let near = nearest(name, declared.iter().map(|attribute| attribute.name));
            return Err(format!("{at}.{name}: there is no such attribute{near}"));
        }
    }
    for attribute in declared {
        let path = format!("{at}.{}", attribute.name);
        match present(attributes, attribute.name) {
            Some(value) => attribute.shape.check(value, &path)?,
            None if attribute.required => return Err(format!("{path} is missing")),
            None => {}
        }
    }
    Ok(())
}

impl Shape {
    fn check(self, value: &Value, path: &str) -> Result<(), String> {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| text.len() <= TEXT);
        let (holds, wanted) = match self {
            Self::Boolean => (value.is_boolean(), "true or false".to_owned()),
            Self::Certificates => (
                value.as_str().is_some_and(|text| text.len() <= CERTIFICATES),
                format!("PEM text of at most {CERTIFICATES} bytes"),
            ),
            Self::Choice(words) => (
                value.as_str().is_some_and(|word| words.contains(&word)),
                format!("one of {}", words.join(", ")),
            ),
            Self::Number(from, to) => (
                value.as_u64().is_some_and(|number| (from..=to).contains(&number)),
                format!("a whole number from {from} to {to}"),
            ),
            Self::Object(nested) => match value {
                Value::Object(members) => {
                    return check(&nested.iter().collect::<Vec<_>>(), members, path);
                }
                Value::Array(_)
                | Value::Bool(_)
                | Value::Null
                | Value::Number(_)
                | Value::String(_) => (false, "an object".to_owned()),
            },
            Self::Text => (is_text(value), format!("a text of at most {TEXT} bytes")),
            Self::Texts => (
                value
                    .as_array()
                    .is_some_and(|texts| texts.len() <= TEXTS && texts.iter().all(is_text)),
                format!("a list of at most {TEXTS} texts of at most {TEXT} bytes each"),
            ),
        };
        if holds { Ok(()) } else { Err(format!("{path}: give {wanted}")) }
    }
}

/// An attribute that two configurations do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, with the names of the objects it stands in: `correlation.accountAttribute`.
    pub path: String,
    /// The reach of the attribute; an unknown one counts as an endpoint.
    pub reach: Reach,
    /// Whether passwords may go to another system, or get there less safely. New certificates
    /// prove the same system.
    pub moves: bool,
}

/// The attributes that differ, those inside of objects one by one.
pub fn differences(
    declared: &[&'static Attribute],
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(declared, old, new, "", &mut found);
    found
}

fn collect(
    declared: &[&'static Attribute],
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    at: &str,
    found: &mut Vec<Difference>,
) {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names.filter(|name| present(old, name) != present(new, name)) {
        let path = format!("{at}{name}");
        let Some(attribute) = declared.iter().find(|attribute| attribute.name == name) else {
            found.push(Difference { path, reach: Reach::Where, moves: true });
            continue;
        };
        if let (Shape::Object(nested), Some(old), Some(new)) =
            (attribute.shape, members(old, name), members(new, name))
        {
            let nested: Vec<_> = nested.iter().collect();
            collect(&nested, &old, &new, &format!("{path}."), found);
            continue;
        }
        let moves =
            attribute.reach == Reach::Where && !matches!(attribute.shape, Shape::Certificates);
        found.push(Difference { path, reach: attribute.reach, moves });
    }
}

/// The members of an object; none where it is absent. Nothing for a value of another shape.
fn members(attributes: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match present(attributes, name) {
        None => Some(Map::new()),
        Some(value) => value.as_object().cloned(),
    }
}

/// `null` is the same as no value.
fn present<'a>(attributes: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests;
