//! Plans the `clients:` list of a site file.

use super::{Deed, Plan, Step, Verb, file, now::Now};
use crate::{
    App, Error,
    client::{VALIDITY, Wanted},
    error::BadRequest,
    model::{
        client::{Client, GrantType},
        column::Json,
        identity::name_key,
    },
};

/// Adds new and changed clients to the plan. Returns the steps that remove clients, which come
/// last.
pub(super) fn plan(
    app: &App,
    plan: &mut Plan,
    now: &Now,
    clients: Option<Vec<file::Client>>,
    prune: bool,
) -> Result<Vec<Step>, Error> {
    let Some(clients) = clients else { return Ok(Vec::new()) };
    let named: Vec<_> = clients.iter().map(|client| name_key(&client.name)).collect();
    // If several clients have one name, the oldest is the one that the file means.
    let stays = |client: &Client| {
        let meant = now.client(&client.name).is_some_and(|meant| meant.id == client.id);
        meant && named.contains(&name_key(&client.name))
    };
    let removed = now
        .clients
        .iter()
        .filter(|client| prune && !stays(client))
        .map(|client| Step::remove("client", &client.name, Deed::RemoveClient(client.clone())))
        .collect();
    for client in clients {
        let what = format!("clients: {}", client.name);
        one(app, plan, now, client).map_err(|error| file::about(&what, error))?;
    }
    Ok(removed)
}

fn one(app: &App, plan: &mut Plan, now: &Now, client: file::Client) -> Result<(), Error> {
    let old = now.client(&client.name);
    let mut grants = old.map(|old| old.grant_types.0.clone()).unwrap_or_default();
    if let Some(wanted) = client.grant_types {
        grants = wanted.iter().map(|grant| grant_type(grant)).collect::<Result<_, _>>()?;
    }
    let uris = client.redirect_uris.or_else(|| old.map(|old| old.redirect_uris.0.clone()));
    let scope = client.scope.or_else(|| old.map(|old| old.scope.0.clone()));
    let validity =
        client.access_token_validity_seconds.or(old.map(|old| old.validity)).unwrap_or(VALIDITY);
    let enabled = client.enabled.or(old.map(|old| old.enabled)).unwrap_or(true);
    let public = client.public.or(old.map(Client::is_public)).unwrap_or(false);
    let (uris, mut scope) = (uris.unwrap_or_default(), scope.unwrap_or_default());
    if scope.is_empty() {
        scope.push(crate::access::ALL.to_owned());
    }
    let name = client.name.trim().to_owned();
    let wanted =
        Wanted::new(app, &name, grants.clone(), uris.clone(), scope.clone(), validity, public)?;
    let deed = Deed::Client(Box::new(wanted.enabled(enabled)));
    let Some(old) = old else {
        plan.add(Verb::Create, "client", name, vec![], deed);
        return Ok(());
    };
    let members: Vec<_> = [
        ("grantTypes", old.grant_types != Json(grants)),
        ("redirectUris", old.redirect_uris != Json(uris)),
        ("scope", old.scope != Json(scope)),
        ("accessTokenValiditySeconds", old.validity != validity),
        ("public", old.is_public() != public),
        ("enabled", old.enabled != enabled),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect();
    if !members.is_empty() {
        plan.add(Verb::Change, "client", name, members, deed);
    }
    Ok(())
}

fn grant_type(text: &str) -> Result<GrantType, Error> {
    serde_json::from_value(text.into()).map_err(|_| {
        let known = ["AUTHORIZATION_CODE", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"];
        let near = rekey_connectors::nearest(text, known);
        Error::bad(BadRequest::IllegalValue, format!("grantTypes: there is no {text}{near}"))
    })
}
