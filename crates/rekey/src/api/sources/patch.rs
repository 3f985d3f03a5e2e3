//! `PATCH /sources/{id}`: the call that enables password management.

use axum::{Json, extract::State};
use json_patch::Patch;
use serde_json::Value;

use super::{LEVELS, changed, wire, written};
use crate::{
    App, Error,
    access::{Access, Caller},
    api::{body::JsonBody, patch::patched, path::Id},
    id::SourceId,
    source::{self, Described},
};

pub(in crate::api) const ACCESS: Access =
    Access { scopes: &["idn:sources:manage"], levels: LEVELS, api_client: true };

pub(in crate::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
    JsonBody(patch): JsonBody<Patch>,
) -> Result<Json<Value>, Error> {
    let Described { owner, policy, .. } = source::one(&app, &caller, id.clone()).await?;
    let source = source::update(&app, &id, &caller, |old| {
        let (source, owner, policy) = (old.clone(), owner.clone(), policy.clone());
        let before = wire(&Described { source, owner, policy });
        changed(old, &before, &patched(before.clone(), &patch)?)
    })
    .await?;
    Ok(Json(written(&app, source).await?))
}
