//! Plans the `syncGroups:` list of a site file.

use super::{
    Deed, Plan, Step, Verb,
    file::{Group, illegal},
    now::Now,
};
use crate::{
    Error,
    model::{id::SyncGroupId, identity::name_key, sync_group::SyncGroup, time::Micros},
};

/// Adds new and changed groups to the plan. Returns the steps that remove groups, which come last.
pub(super) fn plan(
    plan: &mut Plan,
    now: &mut Now,
    groups: Option<Vec<Group>>,
    prune: bool,
) -> Result<Vec<Step>, Error> {
    let Some(groups) = groups else { return Ok(Vec::new()) };
    let named: Vec<_> = groups.iter().map(|group| name_key(&group.name)).collect();
    let removed: Vec<_> = now
        .groups
        .iter()
        .filter(|(group, _)| prune && !named.contains(&name_key(&group.name)))
        .map(|(group, _)| Step::remove("syncGroup", &group.name, Deed::RemoveGroup(group.clone())))
        .collect();
    for group in groups {
        one(plan, now, group)?;
    }
    Ok(removed)
}

fn one(plan: &mut Plan, now: &Now, group: Group) -> Result<(), Error> {
    let what = format!("syncGroups: {}", group.name);
    // The stored sources of a group are sorted, too, so that the lists compare equal.
    let named = |source: &String| now.source(source, &what);
    let mut sources = group.sources.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    sources.sort();
    let policy = group.policy.map(|name| now.policy(&name, &format!("{what}: policy")));
    let policy = policy.transpose()?;
    let old = now.groups.iter().find(|(old, _)| name_key(&old.name) == name_key(&group.name));
    let Some((old, old_sources)) = old else {
        let policy_id = policy.ok_or_else(|| illegal(format!("{what}: policy is missing")))?;
        let new = SyncGroup {
            id: SyncGroupId(uuid::Uuid::new_v4().to_string()),
            name: group.name.clone(),
            policy_id,
            created: Micros(0),
            modified: Micros(0),
        };
        plan.add(Verb::Create, "syncGroup", group.name, vec![], Deed::Group(new, sources));
        return Ok(());
    };
    let new = SyncGroup { policy_id: policy.unwrap_or(old.policy_id.clone()), ..old.clone() };
    let members: Vec<_> =
        [("policy", new.policy_id != old.policy_id), ("sources", &sources != old_sources)]
            .into_iter()
            .filter_map(|(name, differs)| differs.then_some(name))
            .collect();
    if !members.is_empty() {
        let name = old.name.clone();
        plan.add(Verb::Change, "syncGroup", name, members, Deed::Group(new, sources));
    }
    Ok(())
}
