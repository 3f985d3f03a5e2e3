//! The attributes with which a source of a kind is configured.
//!
//! Each kind declares its attributes once. Validation, the reference page, the sealing of secrets
//! and the authorization of changes all follow from the declaration.

use serde_json::{Map, Value};

use crate::nearest;

/// The greatest size of a text, in bytes.
const TEXT: usize = 4 * 1024;
/// The greatest size of certificates, in bytes.
const CERTIFICATES: usize = 64 * 1024;
/// The greatest number of texts in a list.
const TEXTS: usize = 100;

/// One connector attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its name in `connectorAttributes`.
    pub name: &'static str,
    /// The values that it takes.
    pub shape: Shape,
    /// Whether a source must have it.
    pub required: bool,
    /// The value in force if the attribute is absent, described for people.
    pub default: Option<&'static str>,
    /// Whether the store seals its value.
    pub secret: bool,
    /// Its effect beyond the source's own connections.
    pub reach: Reach,
    /// The part of a form in which it appears.
    pub group: Group,
    /// One sentence for the reference page and for forms.
    pub help: &'static str,
}

/// The effect that a change of an attribute can have on other people. The authorization of the
/// change depends on this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It affects only the source.
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
    /// Which accounts exist, and to whom they belong.
    Accounts,
    /// The connection to the system.
    Connection,
    /// The sign-in of rekey to the system.
    SignIn,
}

/// The values that an attribute takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// Certificates as PEM text, at most 64 KiB.
    Certificates,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within these bounds, both included.
    Number(u64, u64),
    /// An object with these attributes.
    Object(&'static [Attribute]),
    /// A text of at most 4 KiB.
    Text,
    /// At most 100 texts.
    Texts,
}

impl Attribute {
    /// An optional attribute; the other members can be set in a struct update.
    pub const fn new(
        name: &'static str,
        shape: Shape,
        reach: Reach,
        group: Group,
        help: &'static str,
    ) -> Self {
        Self { name, shape, required: false, default: None, secret: false, reach, group, help }
    }

    /// The same attribute, with the value that applies if it is absent.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same attribute, required for every source of the kind.
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

/// An attribute that several kinds share.
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

/// The attributes that the host reads for every kind: a connector never receives them.
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

/// Fails with a sentence that names the first attribute that is unknown, missing or of the wrong
/// shape. The sentence never contains the value, which may be a secret.
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

/// An attribute in which two configurations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name after those of the enclosing objects: `correlation.accountAttribute`.
    pub path: String,
    /// The reach of the attribute; an undeclared attribute counts as [`Reach::Where`].
    pub reach: Reach,
    /// Whether passwords may go to another system, or over a less safe connection. New certificates
    /// do not count: they prove the identity of the same system.
    pub moves: bool,
}

/// The attributes that differ; members of objects are reported one by one.
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

/// The members of an object; an absent object has none. `None` for a value of another shape.
fn members(attributes: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match present(attributes, name) {
        None => Some(Map::new()),
        Some(value) => value.as_object().cloned(),
    }
}

/// Returns the value of an attribute; `null` counts as absent.
fn present<'a>(attributes: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests;
