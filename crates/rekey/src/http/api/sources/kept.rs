//! Members of a source that rekey stores for its clients. Only `deleteThreshold` and
//! `severalAccounts` have an effect; each must have the type that the clients' libraries can parse.

use serde_json::{Map, Value};

use super::wrong;
use crate::Error;

/// A stored member and its type.
struct Member {
    name: &'static str,
    /// Whether it may be changed after the source was created.
    changes: bool,
    is: Is,
}

/// The type of a member; `null` is allowed in addition.
#[derive(Clone, Copy)]
enum Is {
    Boolean,
    Mapping,
    Percent,
    Reference,
    /// A reference of which the libraries require every member.
    StrictReference,
    Text,
}

const MEMBERS: &[Member] = &[
    Member { name: "accountCorrelationConfig", changes: true, is: Is::Reference },
    Member { name: "accountCorrelationRule", changes: true, is: Is::Reference },
    Member { name: "authoritative", changes: false, is: Is::Boolean },
    Member { name: "beforeProvisioningRule", changes: true, is: Is::Reference },
    Member { name: "category", changes: true, is: Is::Text },
    Member { name: "cluster", changes: true, is: Is::StrictReference },
    Member { name: "connectorClass", changes: false, is: Is::Text },
    Member { name: "credentialProviderEnabled", changes: true, is: Is::Boolean },
    Member { name: "deleteThreshold", changes: true, is: Is::Percent },
    Member { name: "managementWorkgroup", changes: true, is: Is::Reference },
    Member { name: "managerCorrelationMapping", changes: true, is: Is::Mapping },
    Member { name: "managerCorrelationRule", changes: true, is: Is::Reference },
    Member { name: "severalAccounts", changes: true, is: Is::Boolean },
];

/// The stored members of a request's body.
pub(super) fn of(body: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut kept = Map::new();
    for Member { name, is, .. } in MEMBERS {
        if let Some(value) = body.get(*name).filter(|value| !value.is_null()) {
            is.check(name, value)?;
            kept.insert((*name).to_owned(), value.clone());
        }
    }
    Ok(kept)
}

/// Sets a member; `null` removes it. Returns false if `name` is no member that may be changed.
pub(super) fn change(
    extra: &mut Map<String, Value>,
    name: &str,
    value: &Value,
) -> Result<bool, Error> {
    let Some(member) = MEMBERS.iter().find(|member| member.name == name && member.changes) else {
        return Ok(false);
    };
    if value.is_null() {
        extra.remove(name);
    } else {
        member.is.check(name, value)?;
        extra.insert(name.to_owned(), value.clone());
    }
    Ok(true)
}

impl Is {
    fn check(self, name: &str, value: &Value) -> Result<(), Error> {
        let texts = |members: &[&str]| {
            members.iter().all(|member| value.get(*member).is_some_and(Value::is_string))
        };
        let (holds, what) = match self {
            Self::Boolean => (value.is_boolean(), "true or false"),
            Self::Mapping => (
                texts(&["accountAttributeName", "identityAttributeName"]),
                "an object with the texts accountAttributeName and identityAttributeName",
            ),
            Self::Percent => {
                (value.as_u64().is_some_and(|percent| percent <= 100), "an integer from 0 to 100")
            }
            Self::Reference => {
                let named = value.get("name").is_none_or(|name| name.is_string() || name.is_null());
                (texts(&["type", "id"]) && named, "an object with the texts type, id and name")
            }
            Self::StrictReference => {
                (texts(&["type", "id", "name"]), "an object with the texts type, id and name")
            }
            Self::Text => (value.is_string(), "a text"),
        };
        if holds { Ok(()) } else { Err(wrong(name, what)) }
    }
}
