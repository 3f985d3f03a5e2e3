//! Plans the `identities:` list of a site file.

use std::path::Path;

use super::{
    Deed, People, Plan, Step, Verb,
    file::{self, Person},
    now::Now,
};
use crate::{
    App, Error,
    account::correlation,
    identity::{self, NewIdentity},
    model::{
        column::Json,
        identity::{Identity, name_key},
        source::IDENTITY_NOW,
    },
};

/// Adds new and changed people to the plan. Returns the steps that remove people, which come last.
/// The owner of the built-in source is never removed.
pub(super) fn plan(
    plan: &mut Plan,
    now: &mut Now,
    people: Option<Vec<Person>>,
    folder: &Path,
    prune: bool,
) -> Result<Vec<Step>, Error> {
    let Some(people) = people else { return Ok(Vec::new()) };
    let named: Vec<_> = people.iter().map(|person| name_key(&person.alias)).collect();
    let keeper = now.sources.iter().find(|source| source.name == IDENTITY_NOW);
    let keeper = keeper.map(|source| source.owner_id.clone());
    let goes = |person: &&Identity| {
        prune && !named.contains(&name_key(&person.alias)) && keeper.as_ref() != Some(&person.id)
    };
    let removed: Vec<_> = now
        .people
        .iter()
        .filter(goes)
        .map(|person| Step::remove("identity", &person.alias, Deed::RemovePerson(person.clone())))
        .collect();
    for person in people {
        one(plan, now, person, folder)?;
    }
    Ok(removed)
}

/// Adds to the plan the accounts that people lose by gaining their first capability.
pub(super) async fn name_lost_accounts(app: &App, plan: &mut Plan) -> Result<(), Error> {
    for step in &mut plan.steps {
        let Deed::Person(people) = &step.deed else { continue };
        let Some(old) = &people.old else { continue };
        if !old.capabilities.0.is_empty() || people.new.capabilities.0.is_empty() {
            continue;
        }
        let id = old.id.clone();
        let lost = app.store.read(move |tx| correlation::not_for_privileged(tx, &id)).await?;
        step.effects = lost
            .into_iter()
            .map(|(account, source)| format!("loses {} on {source}", account.native_identity))
            .collect();
    }
    Ok(())
}

fn one(plan: &mut Plan, now: &mut Now, person: Person, folder: &Path) -> Result<(), Error> {
    let at = now.people.iter().position(|p| name_key(&p.alias) == name_key(&person.alias));
    let old = at.map(|at| now.people.swap_remove(at));
    // A file sets only the first password; it never replaces one that exists.
    let has_password = old.as_ref().is_some_and(|old| now.with_password.contains(&old.alias));
    let password = match &person.password {
        Some(value) if !has_password => {
            Some(file::password(value, folder, &format!("identities: {}: password", person.alias))?)
        }
        Some(_) | None => None,
    };
    let new = wanted(person, old.as_ref())?;
    now.people.push(new.clone());
    let mut members = old.as_ref().map(|old| differences(old, &new)).unwrap_or_default();
    let differs = !members.is_empty();
    let verb = if old.is_some() { Verb::Change } else { Verb::Create };
    if password.is_some() && old.is_some() {
        members.push("password");
    }
    if old.is_none() || !members.is_empty() {
        let name = new.alias.clone();
        let deed = Deed::Person(Box::new(People { old, new, differs, password }));
        plan.add(verb, "identity", name, members, deed);
    }
    Ok(())
}

fn wanted(person: Person, old: Option<&Identity>) -> Result<Identity, Error> {
    let Some(old) = old else {
        return identity::prepare(NewIdentity {
            alias: person.alias,
            name: person.name.unwrap_or_default(),
            email: person.email,
            capabilities: person.capabilities.unwrap_or_default(),
            attributes: person.attributes.unwrap_or_default(),
            disabled: person.enabled == Some(false),
        });
    };
    let old = old.clone();
    let enabled = person.enabled.unwrap_or(old.enabled);
    Ok(Identity {
        enabled,
        // Disabling starts a new generation, so that old tokens stay invalid after a re-enable.
        generation: old.generation + i64::from(old.enabled && !enabled),
        name: person.name.unwrap_or(old.name),
        email: person.email.or(old.email),
        capabilities: person.capabilities.map_or(old.capabilities, Json),
        attributes: person.attributes.map_or(old.attributes, Json),
        ..old
    })
}

fn differences(old: &Identity, new: &Identity) -> Vec<&'static str> {
    [
        ("name", old.name != new.name),
        ("email", old.email != new.email),
        ("capabilities", old.capabilities != new.capabilities),
        ("attributes", old.attributes != new.attributes),
        ("enabled", old.enabled != new.enabled),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
