//! `POST /sources`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Map, Value};

use super::{LEVELS, attributes, features, kept, owner, text, written};
use crate::{
    App, Error,
    access::{Access, Caller},
    error::BadRequest,
    http::api::body::JsonBody,
    source::{self, NewSource},
};

pub(in crate::http::api) const ACCESS: Access =
    Access { scopes: &["idn:sources:manage"], levels: LEVELS, api_client: true };

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let member = |name: &str| body.get(name).unwrap_or(&Value::Null);
    let required = |name: &str| {
        text(name, member(name))?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| Error::bad(BadRequest::Missing, format!("{name} is missing")))
    };
    let new = NewSource {
        name: required("name")?,
        description: text("description", member("description"))?,
        connector: required("connector")?,
        owner_id: owner(member("owner"))?,
        features: features(member("features"))?,
        connector_attributes: attributes(member("connectorAttributes"))?,
        extra: kept::of(&body)?,
        policy_id: None,
        deadline: None,
    };
    let source = source::create_for(&app, &caller, new).await?;
    Ok((StatusCode::CREATED, Json(written(&app, source).await?)))
}
