//! Plans the `policies:` list of a site file.

use rekey_vault::Policy;
use serde_json::{Map, Value};

use super::{Deed, Plan, Step, Verb, file::illegal, now::Now};
use rekey_connectors::nearest;

use crate::{
    Error,
    model::{column::Json, id::PolicyId, identity::name_key, policy::PasswordPolicy, time::Micros},
    policy,
};

/// Adds new and changed policies to the plan. Returns the steps that remove policies, which come
/// last. The default policy is removed only if the file declares another default.
pub(super) fn plan(
    plan: &mut Plan,
    now: &mut Now,
    policies: Option<Vec<Map<String, Value>>>,
    prune: bool,
) -> Result<Vec<Step>, Error> {
    let Some(policies) = policies else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    let mut default = None;
    for members in policies {
        let name = match members.get("name").and_then(Value::as_str) {
            Some(name) if !name.trim().is_empty() => name.trim().to_owned(),
            Some(_) | None => return Err(illegal("policies: a policy has no name")),
        };
        if named.contains(&name_key(&name)) {
            return Err(illegal(format!("policies: {name} is there twice")));
        }
        named.push(name_key(&name));
        let old = now.policies.iter().position(|p| name_key(&p.name) == name_key(&name));
        let old = old.map(|at| now.policies.swap_remove(at));
        let new = wanted(&name, members, old.as_ref())?;
        policy::check(&new)?;
        if new.default_policy
            && let Some(first) = default.replace(name.clone())
        {
            return Err(illegal(format!("policies: both {first} and {name} are the default")));
        }
        let members = old.as_ref().map(|old| differences(old, &new));
        now.policies.push(new.clone());
        match members {
            None => plan.add(Verb::Create, "policy", name, vec![], Deed::Policy(new)),
            Some(members) if members.is_empty() => {}
            Some(members) => plan.add(Verb::Change, "policy", name, members, Deed::Policy(new)),
        }
    }
    let goes = |policy: &&PasswordPolicy| {
        prune
            && !named.contains(&name_key(&policy.name))
            && (!policy.default_policy || default.is_some())
    };
    let removed = now.policies.iter().filter(goes).map(|policy| {
        let policy = PasswordPolicy { default_policy: false, ..policy.clone() };
        Step::remove("policy", &policy.name.clone(), Deed::RemovePolicy(policy))
    });
    Ok(removed.collect())
}

/// The policy that the file declares. Absent members have their defaults, also if the policy
/// exists: a file declares a policy as a whole.
fn wanted(
    name: &str,
    mut members: Map<String, Value>,
    old: Option<&PasswordPolicy>,
) -> Result<PasswordPolicy, Error> {
    let what = format!("policies: {name}");
    members.remove("name");
    let description = match members.remove("description") {
        Some(Value::String(text)) => Some(text),
        Some(Value::Null) | None => None,
        Some(_) => return Err(illegal(format!("{what}: description must be a text"))),
    };
    let default_policy = match members.remove("defaultPolicy") {
        Some(Value::Bool(is)) => Some(is),
        Some(Value::Null) | None => None,
        Some(_) => return Err(illegal(format!("{what}: defaultPolicy must be true or false"))),
    };
    let known = serde_json::to_value(Policy::default()).unwrap_or_default();
    let known: Vec<_> = known.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    if let Some(unknown) = members.keys().find(|key| !known.contains(key)) {
        let own = ["name", "description", "defaultPolicy"];
        let near = nearest(unknown, known.iter().map(String::as_str).chain(own));
        return Err(illegal(format!("{what}: unknown member {unknown}{near}")));
    }
    let asked: Policy = serde_json::from_value(Value::Object(members))
        .map_err(|error| illegal(format!("{what}: {error}")))?;
    let stays = old.is_some_and(|old| old.default_policy);
    if stays && default_policy == Some(false) {
        return Err(illegal(format!("{what} is the default: make another the default instead")));
    }
    Ok(PasswordPolicy {
        id: old.map_or_else(PolicyId::new, |old| old.id.clone()),
        name: name.to_owned(),
        description,
        members: Json(asked),
        default_policy: default_policy.unwrap_or(false) || stays && default_policy.is_none(),
        created: old.map_or(Micros(0), |old| old.created),
        modified: old.map_or(Micros(0), |old| old.modified),
    })
}

fn differences(old: &PasswordPolicy, new: &PasswordPolicy) -> Vec<&'static str> {
    let members = old.members != new.members;
    [
        ("name", old.name != new.name),
        ("description", old.description != new.description),
        ("members", members),
        ("defaultPolicy", old.default_policy != new.default_policy),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
