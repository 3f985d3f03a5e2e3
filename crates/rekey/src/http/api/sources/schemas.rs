//! `GET /sources/{id}/schemas`: the one account schema, which is the same for every source.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::LEVELS;
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::{page::PageQuery, path::Id},
    model::id::SourceId,
    source,
};

pub(in crate::http::api) const ACCESS: Access = Access {
    scopes: &["idn:source-schema:read", "idn:source-schema:manage"],
    levels: LEVELS,
    api_client: true,
};

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
    query: PageQuery,
) -> Result<Json<Value>, Error> {
    let source = source::one(&app, &caller, id).await?.source;
    let named = query.value("include-names").filter(|names| !names.is_empty());
    let wanted = named.is_none_or(|names| names.split(',').any(|name| name.trim() == "account"));
    if !wanted || query.value("include-types") == Some("group") {
        return Ok(Json(json!([])));
    }
    let attribute = |name: &str| {
        json!({
            "name": name, "nativeName": null, "type": "STRING", "schema": null, "description": "",
            "isMulti": false, "isEntitlement": false, "isGroup": false,
        })
    };
    Ok(Json(json!([{
        "id": source.id,
        "name": "account",
        "nativeObjectType": "account",
        "identityAttribute": "nativeIdentity",
        "displayAttribute": "name",
        "hierarchyAttribute": null,
        "includePermissions": false,
        "features": [],
        "configuration": {},
        "attributes": [attribute("nativeIdentity"), attribute("name")],
        "created": source.created.rfc3339(),
        "modified": null,
    }])))
}
