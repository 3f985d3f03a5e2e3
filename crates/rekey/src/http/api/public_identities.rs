//! `GET /public-identities`: the attributes of people that every authenticated caller may read.

use axum::{extract::State, response::Response};
use serde_json::{Value, json};

use super::page::{PageQuery, answer};
use crate::{
    App, Error,
    access::{Access, Caller},
    identity,
    model::identity::Identity,
};

pub(super) const ACCESS: Access = Access { scopes: &[], levels: &[], api_client: true };

pub(super) async fn handler(
    State(app): State<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Response, Error> {
    let page = identity::list_public(&app, &caller, &query.asked).await?;
    Ok(answer(page, |person| wire(&person)))
}

fn wire(person: &Identity) -> Value {
    let (status, state) =
        if person.enabled { ("Active", "ACTIVE") } else { ("Inactive", "INACTIVE_SHORT_TERM") };
    json!({
        "id": person.id,
        "name": person.name,
        "alias": person.alias,
        "email": person.email,
        "status": status,
        "identityState": state,
        "manager": null,
        "attributes": [],
    })
}
