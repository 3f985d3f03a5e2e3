//! `PATCH /sources/{id}`: the call that enables password management.

use axum::{Json, extract::State};
use json_patch::Patch;
use serde_json::Value;

use super::{LEVELS, changed, wire, written};
use crate::{
    App, Error,
    access::{Access, Caller},
    http::api::{body::JsonBody, patch::patched, path::Id},
    model::id::SourceId,
    source,
    store::DescribedSource,
};

pub(in crate::http::api) const ACCESS: Access =
    Access { scopes: &["idn:sources:manage"], levels: LEVELS, api_client: true };

pub(in crate::http::api) async fn handler(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SourceId>,
    JsonBody(patch): JsonBody<Patch>,
) -> Result<Json<Value>, Error> {
    let DescribedSource { owner, policy, .. } = source::one(&app, &caller, id.clone()).await?;
    let source = source::update(&app, &id, &caller, |old| {
        let (source, owner, policy) = (old.clone(), owner.clone(), policy.clone());
        let before = wire(&DescribedSource { source, owner, policy });
        changed(old, &before, &patched(before.clone(), &patch)?)
    })
    .await?;
    Ok(Json(written(&app, source).await?))
}
