//! `PATCH /accounts/{id}`: sets the owner of an account by hand.

use axum::{Json, extract::State, http::StatusCode};
use json_patch::Patch;
use serde_json::{Value, json};

use crate::{
    App, Error,
    access::{Access, Caller},
    account::{self, Correlated},
    error::BadRequest,
    http::api::{
        body::JsonBody,
        patch::{illegal, patched},
        path::Id,
    },
    model::{
        account::Account,
        id::{AccountId, IdentityId},
        level::Level,
    },
};

pub(in crate::http::api) const ACCESS: Access =
    Access { scopes: &["idn:accounts:manage"], levels: &[Level::OrgAdmin], api_client: true };

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AccountId>,
    JsonBody(patch): JsonBody<Patch>,
) -> Result<(StatusCode, Json<Value>), Error> {
    account::correlate(&app, &caller, id, move |old| changed(old, &patch)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

/// Applies a patch to the two members that it may change: `identityId` and `manuallyCorrelated`.
fn changed(old: &Account, patch: &Patch) -> Result<Correlated, Error> {
    let before =
        json!({ "identityId": old.identity_id, "manuallyCorrelated": old.manually_correlated });
    let after = patched(before, patch)?;
    let members = after.as_object().into_iter().flatten();
    if let Some((other, _)) = members
        .into_iter()
        .find(|(name, _)| !["identityId", "manuallyCorrelated"].contains(&name.as_str()))
    {
        return Err(illegal(other));
    }
    let wrong = |text: &str| Error::bad(BadRequest::IllegalValue, text.to_owned());
    let identity_id = match after.get("identityId") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(IdentityId(id.clone())),
        Some(_) => return Err(wrong("identityId: give the id of an identity, or null")),
    };
    // An owner that a patch changes is a manual correlation, whatever the patch says of the flag.
    let manually = match after.get("manuallyCorrelated") {
        Some(Value::Bool(manually)) => *manually || identity_id != old.identity_id,
        None | Some(Value::Null) => identity_id != old.identity_id,
        Some(_) => return Err(wrong("manuallyCorrelated: give true or false")),
    };
    Ok(Correlated { identity_id, manually })
}
