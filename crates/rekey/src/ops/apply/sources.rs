//! Plans the `sources:` list of a site file.

use std::path::Path;

use super::{
    Deed, Plan, Step, Verb,
    file::{self, System, illegal},
    now::Now,
};
use crate::{
    App, Error, config,
    model::{
        column::Json,
        identity::name_key,
        source::{IDENTITY_NOW, Source},
    },
    source::{self, NewSource, reach::By},
};

/// Adds new and changed sources to the plan. Returns the steps that remove sources, which come
/// last. The built-in source is never removed.
pub(super) fn plan(
    app: &App,
    plan: &mut Plan,
    now: &mut Now,
    systems: Option<Vec<System>>,
    folder: &Path,
    prune: bool,
) -> Result<Vec<Step>, Error> {
    let Some(systems) = systems else { return Ok(Vec::new()) };
    let named: Vec<_> = systems.iter().map(|system| name_key(&system.name)).collect();
    let goes = |source: &&Source| {
        prune && source.name != IDENTITY_NOW && !named.contains(&name_key(&source.name))
    };
    let removed: Vec<_> = now
        .sources
        .iter()
        .filter(goes)
        .map(|source| Step::remove("source", &source.name, Deed::RemoveSource(source.clone())))
        .collect();
    for system in systems {
        let what = format!("sources: {}", system.name);
        one(app, plan, now, system, folder, &what).map_err(|error| file::about(&what, error))?;
    }
    Ok(removed)
}

fn one(
    app: &App,
    plan: &mut Plan,
    now: &mut Now,
    system: System,
    folder: &Path,
    what: &str,
) -> Result<(), Error> {
    let at = now.sources.iter().position(|s| name_key(&s.name) == name_key(&system.name));
    let attributes = system
        .connector_attributes
        .map(|attributes| {
            file::resolve_all(attributes, folder, &format!("{what}: connectorAttributes"))
        })
        .transpose()?;
    let owner = system.owner.map(|alias| now.person(&alias, &format!("{what}: owner")));
    let owner = owner.transpose()?;
    let policy = system.policy.map(|name| now.policy(&name, &format!("{what}: policy")));
    let policy = policy.transpose()?;
    let deadline = system.deadline.map(|text| config::parse_span(&text));
    let deadline =
        deadline.transpose().map_err(|why| illegal(format!("{what}: deadline: {why}")))?;

    let several =
        system.several_accounts.map(|several| ("severalAccounts".to_owned(), several.into()));

    let Some(at) = at else {
        let missing = |member| illegal(format!("{what}: {member} is missing"));
        let new = NewSource {
            name: system.name,
            description: system.description,
            connector: system.connector.ok_or_else(|| missing("connector"))?,
            owner_id: owner.ok_or_else(|| missing("owner"))?,
            features: system.features.unwrap_or_default(),
            connector_attributes: attributes.unwrap_or_default(),
            extra: several.into_iter().collect(),
            policy_id: policy,
            deadline,
        };
        let source = source::prepare(app, new)?;
        now.sources.push(source.clone());
        let name = source.name.clone();
        plan.add(Verb::Create, "source", name, vec![], Deed::AddSource(source));
        return Ok(());
    };

    let old = now.sources.swap_remove(at);
    if system.connector.is_some_and(|connector| connector != old.connector) {
        return Err(illegal(format!(
            "{what}: it is of kind {}, which cannot change: remove it first, or choose another name",
            old.connector
        )));
    }
    let mut new = old.clone();
    new.name = system.name;
    new.description = system.description.or(new.description);
    new.owner_id = owner.unwrap_or(new.owner_id);
    new.policy_id = policy.or(new.policy_id);
    new.deadline = deadline.and_then(|d| i64::try_from(d.as_micros()).ok()).or(new.deadline);
    new.features = system.features.map_or(new.features, Json);
    new.extra.0.extend(several);
    new.connector_attributes = attributes.map_or(new.connector_attributes, Json);
    now.sources.push(new.clone());
    let update = source::prepare_update(app, By::Operator, old, new)?;
    let members = update.members();
    if !members.is_empty() {
        let name = update.old().name.clone();
        plan.add(Verb::Change, "source", name, members, Deed::ChangeSource(Box::new(update)));
    }
    Ok(())
}
