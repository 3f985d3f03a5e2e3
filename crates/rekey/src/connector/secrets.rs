//! Secrets among connector attributes: sealed in the store, opaque on the wire, and unchanged when
//! a client writes the opaque text back.

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_connectors::{Attribute, attribute::Shape};
use rekey_vault::{Purpose, Sealer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Error, connector::kind, error::BadRequest, model::id::SourceId};

/// The prefix of a sealed attribute.
const MARK: &str = "rekey:sealed:";

/// Connector attributes that may be stored.
pub struct Sealed {
    /// The attributes, with every secret sealed.
    pub attributes: Map<String, Value>,
    /// The paths of the secrets that the client sent as the stored ciphertext, not in clear.
    returned: Vec<String>,
}

impl Sealed {
    /// Removes the secrets that the client sent as ciphertext.
    pub fn forget_returned(&mut self) {
        for path in &self.returned {
            let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
            let parent = parents
                .split('.')
                .filter(|name| !name.is_empty())
                .try_fold(&mut self.attributes, |at, name| at.get_mut(name)?.as_object_mut());
            if let Some(parent) = parent {
                parent.remove(name);
            }
        }
    }
}

/// The treatment of a secret that was sent in clear and equals the stored one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Equal {
    /// It keeps its ciphertext, so that nothing changes when the operator applies the same file
    /// again.
    Kept,
    /// It gets a new ciphertext, as any other value would: an API caller who sends guesses cannot
    /// recognize the right one, neither by the answer nor by its timing.
    Renewed,
}

/// Seals the secrets among `attributes`. A secret that is sealed already must equal the text in
/// `stored`.
pub fn seal(
    sealer: &Sealer,
    source: &SourceId,
    connector: &str,
    attributes: Map<String, Value>,
    stored: Option<&Map<String, Value>>,
    equal: Equal,
) -> Result<Sealed, Error> {
    let mut done = Sealed { attributes, returned: Vec::new() };
    let Sealed { attributes, returned } = &mut done;
    let declared = kind(connector)?.declared();
    visit(&declared, attributes, "", &mut |path, attribute, value| {
        let Value::String(text) = value else { return Ok(()) };
        let old = stored.and_then(|stored| stored_text(stored, path));
        if text.starts_with(MARK) {
            if attribute.secret && old == Some(text) {
                returned.push(path.to_owned());
                return Ok(());
            }
            return Err(Error::bad(
                BadRequest::IllegalValue,
                format!(
                    "connectorAttributes.{path} is not the ciphertext of this source: send the value itself"
                ),
            ));
        }
        if attribute.secret {
            let renewed = self::sealed(sealer, source, path, text)?;
            let is_kept =
                |old: &&str| equal == Equal::Kept && is_sealed_of(sealer, source, path, old, text);
            *value = Value::String(old.filter(is_kept).map_or(renewed, str::to_owned));
        }
        Ok(())
    })?;
    Ok(done)
}

/// Returns the attributes with the secrets in clear.
pub fn open(
    sealer: &Sealer,
    source: &SourceId,
    connector: &str,
    attributes: &Map<String, Value>,
) -> Result<Value, Error> {
    let mut open = attributes.clone();
    visit(&kind(connector)?.declared(), &mut open, "", &mut |path, attribute, value| {
        if let Some(text) = value.as_str().filter(|text| attribute.secret && text.starts_with(MARK))
        {
            *value = Value::String(opened(sealer, source, path, text)?.to_string());
        }
        Ok(())
    })?;
    Ok(Value::Object(open))
}

/// Calls `with` for every declared attribute that is present, with its path; for an object, once
/// for each of its members.
fn visit(
    declared: &[&'static Attribute],
    attributes: &mut Map<String, Value>,
    at: &str,
    with: &mut impl FnMut(&str, &Attribute, &mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    for attribute in declared {
        let Some(value) = attributes.get_mut(attribute.name) else { continue };
        let path = format!("{at}{}", attribute.name);
        match (attribute.shape, value) {
            (Shape::Object(nested), Value::Object(members)) => {
                visit(&nested.iter().collect::<Vec<_>>(), members, &format!("{path}."), with)?;
            }
            (_, value) => with(&path, attribute, value)?,
        }
    }
    Ok(())
}

/// Returns the text at a path, with dots between the names.
fn stored_text<'a>(stored: &'a Map<String, Value>, path: &str) -> Option<&'a str> {
    let mut names = path.split('.');
    let first = stored.get(names.next()?)?;
    names.try_fold(first, |at, name| at.get(name))?.as_str()
}

fn sealed(sealer: &Sealer, source: &SourceId, name: &str, clear: &str) -> Result<String, Error> {
    let bytes = sealer.seal(Purpose::ConnectorAttribute, &row(source, name), clear.as_bytes())?;
    Ok(format!("{MARK}{}", BASE64_STANDARD.encode(bytes)))
}

fn opened(
    sealer: &Sealer,
    source: &SourceId,
    name: &str,
    text: &str,
) -> Result<Zeroizing<String>, Error> {
    let bytes = BASE64_STANDARD
        .decode(text.trim_start_matches(MARK))
        .map_err(|_| Error::Internal(format!("the sealed {name} is not base64")))?;
    let clear = sealer.open(Purpose::ConnectorAttribute, &row(source, name), &bytes)?;
    let clear = std::str::from_utf8(&clear).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(Zeroizing::new(clear.to_owned()))
}

fn is_sealed_of(sealer: &Sealer, source: &SourceId, name: &str, old: &str, clear: &str) -> bool {
    opened(sealer, source, name, old)
        .is_ok_and(|opened| bool::from(opened.as_bytes().ct_eq(clear.as_bytes())))
}

fn row(source: &SourceId, name: &str) -> String {
    format!("{source}|{name}")
}
