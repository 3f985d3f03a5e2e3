//! Sync groups: sources whose accounts share one password.

use crate::{
    App, Error,
    error::BadRequest,
    model::{id::SourceId, sync_group::SyncGroup},
    store::{Audit, Tx},
};

/// All groups with their sources, by name.
pub async fn all(app: &App) -> Result<Vec<(SyncGroup, Vec<SourceId>)>, Error> {
    app.store
        .read(|tx| {
            let mut all = Vec::new();
            for group in tx.groups()? {
                let sources = tx.group_sources(&group.id)?;
                all.push((group, sources));
            }
            Ok(all)
        })
        .await
}

/// Adds or updates a group, inside the caller's transaction. It needs at least two sources, each
/// with the feature `PASSWORD` and in no other group.
pub fn keep(
    tx: &mut Tx<'_>,
    group: SyncGroup,
    sources: &[SourceId],
    actor: &str,
) -> Result<SyncGroup, Error> {
    let now = tx.now()?;
    let mut group = SyncGroup { modified: now, ..group };
    check(tx, &group, sources)?;
    let old = tx.groups()?.into_iter().find(|old| old.id == group.id);
    let action = if old.is_some() {
        tx.update_group(&group)?;
        "PASSWORD_SYNC_GROUP_UPDATE"
    } else {
        group.created = now;
        tx.insert_group(&group)?;
        "PASSWORD_SYNC_GROUP_CREATE"
    };
    tx.set_group_sources(&group.id, sources)?;
    let detail = serde_json::json!({ "name": group.name, "sources": sources });
    tx.audit(Audit { actor, action, object: group.id.as_str(), detail })?;
    Ok(group)
}

/// Removes a group, inside the caller's transaction. Its policy becomes each source's own policy.
pub fn remove(tx: &mut Tx<'_>, group: &SyncGroup, actor: &str) -> Result<(), Error> {
    for id in tx.group_sources(&group.id)? {
        if let Some(mut source) = tx.source(&id)? {
            source.policy_id = Some(group.policy_id.clone());
            source.modified = tx.now()?;
            tx.update_source(&source)?;
        }
    }
    tx.remove_group(&group.id)?;
    let detail = serde_json::json!({ "name": group.name });
    let object = group.id.as_str();
    tx.audit(Audit { actor, action: "PASSWORD_SYNC_GROUP_DELETE", object, detail })?;
    Ok(())
}

fn check(tx: &mut Tx<'_>, group: &SyncGroup, sources: &[SourceId]) -> Result<(), Error> {
    if group.name.trim().is_empty() {
        return Err(Error::bad(BadRequest::Missing, "name is missing: give the group a name"));
    }
    let same = |other: &SyncGroup| {
        other.id != group.id
            && crate::model::identity::name_key(&other.name)
                == crate::model::identity::name_key(&group.name)
    };
    if tx.groups()?.iter().any(same) {
        return Err(Error::bad(
            BadRequest::Conflict,
            format!("there is a sync group named {} already", group.name),
        ));
    }
    if tx.policy(&group.policy_id)?.is_none() {
        return Err(Error::bad(
            BadRequest::Referenced,
            format!("there is no password policy {}", group.policy_id),
        ));
    }
    let mut distinct = sources.to_vec();
    distinct.sort();
    distinct.dedup();
    if distinct.len() < 2 || distinct.len() != sources.len() {
        return Err(Error::bad(
            BadRequest::IllegalValue,
            format!("the sync group {} needs at least two different sources", group.name),
        ));
    }
    for id in sources {
        let source = tx.source(id)?.ok_or_else(|| {
            Error::bad(BadRequest::Referenced, format!("there is no source {id}"))
        })?;
        if !source.has_password() {
            return Err(Error::bad(
                BadRequest::IllegalValue,
                format!("{} cannot be in a sync group: it lacks the feature PASSWORD", source.name),
            ));
        }
        if let Some(other) = tx.group_of(id)?.filter(|other| other.id != group.id) {
            return Err(Error::bad(
                BadRequest::Conflict,
                format!("{} is in the sync group {} already", source.name, other.name),
            ));
        }
    }
    Ok(())
}
