//! `/sources` (docs/contract.md#sources), and the JSON form of a source.

use serde_json::{Map, Value, json};

use crate::{
    App, Error,
    connector::kind,
    error::BadRequest,
    model::{column::Json, id::IdentityId, identity::IdentityRef, level::Level, source::Source},
    store::DescribedSource,
};

pub(super) mod check_connection;
pub(super) mod create;
pub(super) mod get;
mod kept;
pub(super) mod list;
pub(super) mod load_accounts;
pub(super) mod patch;
pub(super) mod schemas;

/// The levels that may read and change sources.
pub(super) const LEVELS: &[Level] = &[Level::OrgAdmin, Level::SourceAdmin, Level::SourceSubadmin];

/// A source as JSON, with all members.
pub(super) fn wire(described: &DescribedSource) -> Value {
    let DescribedSource { source, owner, policy } = described;
    let kind = kind(&source.connector).ok();
    let display = kind.map_or(source.connector.as_str(), |kind| kind.display_name);
    let mut wire = json!({
        "id": source.id,
        "name": source.name,
        "description": source.description,
        "owner": owner.as_ref().map(|name| {
            json!({ "type": "IDENTITY", "id": source.owner_id, "name": name })
        }),
        "cluster": null,
        "accountCorrelationConfig": null,
        "accountCorrelationRule": null,
        "managerCorrelationMapping": null,
        "managerCorrelationRule": null,
        "beforeProvisioningRule": null,
        "schemas": [{ "type": "CONNECTOR_SCHEMA", "id": source.id, "name": "account" }],
        "passwordPolicies": policy.as_ref().map(|(id, name)| {
            json!([{ "type": "PASSWORD_POLICY", "id": id, "name": name }])
        }),
        "features": source.features.0,
        "type": display,
        "connector": source.connector,
        "connectorAttributes": source.connector_attributes.0,
        "deleteThreshold": source.delete_threshold(),
        "authoritative": false,
        "managementWorkgroup": null,
        "healthy": source.healthy,
        "status": source.status,
        "since": source.created.rfc3339(),
        "connectorId": source.connector,
        "connectorName": display,
        "connectionType": "direct",
        "connectorImplementationId": source.connector,
        "created": source.created.rfc3339(),
        "modified": source.modified.rfc3339(),
        "credentialProviderEnabled": false,
        "category": null,
    });
    if let Some(members) = wire.as_object_mut() {
        for (name, value) in &source.extra.0 {
            members.insert(name.clone(), value.clone());
        }
    }
    wire
}

/// The source that results from a patched document; a change of a fixed member is an error.
fn changed(old: &Source, before: &Value, after: &Value) -> Result<Source, Error> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return Err(Error::bad(BadRequest::Content, "the patch must leave an object"));
    };
    let mut new = old.clone();
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    for name in names.filter(|name| before.get(*name) != after.get(*name)) {
        let value = after.get(name).unwrap_or(&Value::Null);
        match name.as_str() {
            "name" => new.name = text(name, value)?.unwrap_or_default(),
            "description" => new.description = text(name, value)?,
            "owner" => new.owner_id = owner(value)?,
            "features" => new.features = Json(features(value)?),
            "connectorAttributes" => new.connector_attributes = Json(attributes(value)?),
            other if kept::change(&mut new.extra.0, other, value)? => {}
            fixed => return Err(super::patch::illegal(fixed)),
        }
    }
    Ok(new)
}

fn text(name: &str, value: &Value) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(wrong(name, "a text"))
        }
    }
}

fn owner(value: &Value) -> Result<IdentityId, Error> {
    if value.is_null() {
        return Err(Error::bad(
            BadRequest::Missing,
            "owner is missing: send {\"type\": \"IDENTITY\", \"id\": …}",
        ));
    }
    match value.get("id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => Ok(IdentityId(id.to_owned())),
        Some(_) | None => Err(wrong("owner", "an object with an id")),
    }
}

fn features(value: &Value) -> Result<Vec<String>, Error> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    serde_json::from_value(value.clone()).map_err(|_| wrong("features", "an array of texts"))
}

fn attributes(value: &Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(members) => Ok(members.clone()),
        Value::Null => Ok(Map::new()),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(wrong("connectorAttributes", "an object"))
        }
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::bad(BadRequest::IllegalValue, format!("{name} must be {what}"))
}

/// A source that was just written, as JSON.
async fn written(app: &App, source: Source) -> Result<Value, Error> {
    let described = app.store.read(move |tx| tx.describe_source(source)).await?;
    Ok(wire(&described))
}

/// A reference to the owner of an account or source.
pub(super) fn identity_ref(id: &IdentityId, name: Option<&String>) -> IdentityRef {
    IdentityRef { kind: "IDENTITY".into(), id: id.clone(), name: name.cloned() }
}
