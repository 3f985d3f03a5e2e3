//! Secrets among connector attributes: sealed in the store, opaque on the wire, kept when the
//! opaque text is written back.

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{Purpose, Sealer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Error, error::BadRequest, id::SourceId, source};

/// How a sealed attribute begins.
const MARK: &str = "rekey:sealed:";

/// Connector attributes that may be kept.
pub struct Sealed {
    /// Every secret among them is sealed.
    pub attributes: Map<String, Value>,
    /// The secrets that came back as the stored ciphertext, not as themselves.
    pub returned: Vec<&'static str>,
}

/// What becomes of a secret that came in clear and equals the stored one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Equal {
    /// It keeps its ciphertext, so that nothing changes: for the operator, who applies the same file
    /// again.
    Kept,
    /// It gets another ciphertext, as any other value would: a caller of the API who sends guesses
    /// cannot distinguish the right one, neither by the answer nor by the time it takes.
    Renewed,
}

/// Seals the secrets among `attributes`. One that is sealed already must be the very text in
/// `stored`.
pub fn seal(
    sealer: &Sealer,
    source: &SourceId,
    connector: &str,
    mut attributes: Map<String, Value>,
    stored: Option<&Map<String, Value>>,
    equal: Equal,
) -> Result<Sealed, Error> {
    let mut returned = Vec::new();
    for (name, value) in &mut attributes {
        let secret = source::kind(connector)?.secrets.iter().find(|secret| *secret == name);
        let Value::String(text) = value else { continue };
        let old = stored.and_then(|stored| stored.get(name)).and_then(Value::as_str);
        match secret {
            Some(secret) if text.starts_with(MARK) && old == Some(text) => returned.push(*secret),
            None if !text.starts_with(MARK) => {}
            _ if text.starts_with(MARK) => {
                return Err(Error::bad(
                    BadRequest::IllegalValue,
                    format!(
                        "connectorAttributes.{name} is not the ciphertext of this source: send the value itself"
                    ),
                ));
            }
            _ => {
                let renewed = sealed(sealer, source, name, text)?;
                let is_kept = |old: &&str| {
                    equal == Equal::Kept && is_sealed_of(sealer, source, name, old, text)
                };
                *value = Value::String(old.filter(is_kept).map_or(renewed, str::to_owned));
            }
        }
    }
    Ok(Sealed { attributes, returned })
}

/// The attributes as a connector takes them: secrets opened, without what the host reads.
pub fn open(
    sealer: &Sealer,
    source: &SourceId,
    attributes: &Map<String, Value>,
) -> Result<Value, Error> {
    let mut open = Map::new();
    for (name, value) in attributes {
        if name == "correlation" {
            continue;
        }
        let value = match value.as_str().filter(|text| text.starts_with(MARK)) {
            None => value.clone(),
            Some(text) => Value::String(opened(sealer, source, name, text)?.to_string()),
        };
        open.insert(name.clone(), value);
    }
    Ok(Value::Object(open))
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
