//! `/identities` (docs/contract.md#identities), and the JSON form of a person.

use serde_json::{Value, json};

use crate::model::identity::Identity;

pub(super) mod get;
pub(super) mod list;

fn wire(person: &Identity) -> Value {
    let mut attributes = person.attributes.0.clone();
    let status = if person.enabled { "ACTIVE" } else { "DISABLED" };
    attributes.entry("cloudStatus").or_insert_with(|| status.into());
    json!({
        "id": person.id,
        "name": person.name,
        "created": person.created.rfc3339(),
        "modified": person.modified.rfc3339(),
        "alias": person.alias,
        "emailAddress": person.email,
        "processingState": null,
        "identityStatus": status,
        "managerRef": null,
        "isManager": false,
        "lastRefresh": person.modified.rfc3339(),
        "attributes": attributes,
    })
}
