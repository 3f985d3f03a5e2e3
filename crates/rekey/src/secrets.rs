//! Secrets among connector attributes: sealed in the store, opaque on the wire, kept when the
//! opaque text is written back.

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{Purpose, Sealer};
use serde_json::{Map, Value};

use crate::{Error, error::BadRequest, id::SourceId, source};

/// How a sealed attribute begins.
const MARK: &str = "rekey:sealed:";

/// Seals the secrets among `attributes`. One that is sealed already must be the very text in
/// `stored`, and is kept.
pub fn seal(
    sealer: &Sealer,
    source: &SourceId,
    connector: &str,
    mut attributes: Map<String, Value>,
    stored: Option<&Map<String, Value>>,
) -> Result<Map<String, Value>, Error> {
    for name in source::kind(connector)?.secrets {
        let Some(value) = attributes.get_mut(*name) else { continue };
        let Value::String(text) = value else { continue };
        if text.starts_with(MARK) {
            if stored.and_then(|stored| stored.get(*name)) != Some(&Value::String(text.clone())) {
                return Err(Error::bad(
                    BadRequest::IllegalValue,
                    format!(
                        "connectorAttributes.{name} is not the ciphertext of this source: send the secret itself"
                    ),
                ));
            }
            continue;
        }
        let sealed =
            sealer.seal(Purpose::ConnectorAttribute, &row(source, name), text.as_bytes())?;
        *value = Value::String(format!("{MARK}{}", BASE64_STANDARD.encode(sealed)));
    }
    Ok(attributes)
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
        let sealed = value.as_str().and_then(|text| text.strip_prefix(MARK));
        let value = match sealed {
            None => value.clone(),
            Some(text) => {
                let bytes = BASE64_STANDARD
                    .decode(text)
                    .map_err(|_| Error::Internal(format!("the sealed {name} is not base64")))?;
                let clear = sealer.open(Purpose::ConnectorAttribute, &row(source, name), &bytes)?;
                let clear =
                    std::str::from_utf8(&clear).map_err(|e| Error::Internal(e.to_string()))?;
                Value::String(clear.to_owned())
            }
        };
        open.insert(name.clone(), value);
    }
    Ok(Value::Object(open))
}

fn row(source: &SourceId, name: &str) -> String {
    format!("{source}|{name}")
}
