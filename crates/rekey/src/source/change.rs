//! Creates and removes sources.

use std::time::Duration;

use rekey_connectors::Feature;
use serde_json::{Map, Value};

use crate::{
    App, Error, account,
    connector::{
        kind,
        secrets::{self, Equal},
    },
    error::BadRequest,
    keys,
    model::{
        column::Json,
        id::{IdentityId, PolicyId, SourceId},
        identity::{holds_controls, name_key},
        level::Level,
        source::{IDENTITY_NOW, Source},
        source_key::SourceKey,
        time::Micros,
    },
    password::state::cancelled,
    store::{Audit, Tx},
};

/// The status of a source that has not been checked yet.
pub(super) const UNCHECKED: &str = "SOURCE_STATE_UNCHECKED_SOURCE";
/// Most characters of a name.
const LONGEST_NAME: usize = 128;
/// The allowed range of a source's deadline for changes.
const DEADLINES: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(24);

/// The features that the contract knows (docs/contract.md#sources).
const FEATURES: &[&str] = &[
    "ACCOUNT_ONLY_REQUEST",
    "ADDITIONAL_ACCOUNT_REQUEST",
    "APPLICATION_DISCOVERY",
    "ARM_CHANGELOG_EXTRACT",
    "ARM_SECURITY_EXTRACT",
    "ARM_UTILIZATION_EXTRACT",
    "AUTHENTICATE",
    "COMPOSITE",
    "CURRENT_PASSWORD",
    "DELETE",
    "DIRECT_PERMISSIONS",
    "DISCOVER_SCHEMA",
    "ENABLE",
    "GROUPS_HAVE_MEMBERS",
    "GROUP_PROVISIONING",
    "MANAGER_LOOKUP",
    "NO_AGGREGATION",
    "NO_DIRECT_PERMISSIONS_PROVISIONING",
    "NO_GROUP_PERMISSIONS_PROVISIONING",
    "NO_PERMISSIONS_PROVISIONING",
    "NO_RANDOM_ACCESS",
    "NO_UNSTRUCTURED_TARGETS_PROVISIONING",
    "PASSWORD",
    "PREFER_UUID",
    "PROVISIONING",
    "PROXY",
    "SEARCH",
    "SHAREPOINT_TARGET",
    "SYNC_PROVISIONING",
    "TEMPLATE",
    "UNLOCK",
    "UNSTRUCTURED_TARGETS",
    "USES_UUID",
];

/// A source to be created.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// See [`Source::name`].
    pub name: String,
    /// See [`Source::description`].
    pub description: Option<String>,
    /// See [`Source::connector`].
    pub connector: String,
    /// See [`Source::owner_id`].
    pub owner_id: IdentityId,
    /// See [`Source::features`].
    pub features: Vec<String>,
    /// The attributes as the connector takes them, with secrets in clear.
    pub connector_attributes: Map<String, Value>,
    /// See [`Source::extra`].
    pub extra: Map<String, Value>,
    /// See [`Source::policy_id`].
    pub policy_id: Option<PolicyId>,
    /// Deadline of a change, 1 min to 24 h; `None` for the value of the setting.
    pub deadline: Option<Duration>,
}

/// Creates a source on behalf of the service itself, without a check of rights.
pub async fn create(app: &App, new: NewSource, actor: &str) -> Result<Source, Error> {
    let (source, keys) = prepare_with_keys(app, new).await?;
    let actor = actor.to_owned();
    app.store.write(move |tx| insert(tx, source.clone(), &keys, &actor)).await
}

/// Creates the built-in source that people sign in to, if it does not exist. Its owner is an
/// administrator, or the first person if there is no administrator.
pub async fn ensure_identity_now(app: &App) -> Result<Source, Error> {
    let (found, owner) = app
        .store
        .read(|tx| -> Result<_, Error> {
            let people = tx.identities()?;
            let admin =
                people.iter().find(|person| person.capabilities.0.contains(&Level::OrgAdmin));
            let owner = admin.or(people.first()).map(|person| person.id.clone());
            Ok((tx.source_named(IDENTITY_NOW)?, owner))
        })
        .await?;
    if let Some(found) = found {
        return Ok(found);
    }
    let owner_id = owner.ok_or_else(|| {
        Error::Setup("the built-in source needs an owner: make an identity first".into())
    })?;
    let new = NewSource {
        name: IDENTITY_NOW.into(),
        description: Some("What people sign in to rekey with".into()),
        connector: crate::model::source::BUILT_IN.into(),
        owner_id,
        features: vec!["AUTHENTICATE".into(), "PASSWORD".into()],
        connector_attributes: Map::new(),
        extra: Map::new(),
        policy_id: None,
        deadline: None,
    };
    create(app, new, crate::model::audit::ACTOR).await
}

/// Prepares a source for insertion, with the key pairs that it needs.
pub(super) async fn prepare_with_keys(
    app: &App,
    new: NewSource,
) -> Result<(Source, Vec<SourceKey>), Error> {
    let source = prepare(app, new)?;
    let keys = keys::generate_needed(&app.keys, &source).await?;
    Ok((source, keys))
}

/// Checks everything that needs no store, and seals the secrets. The times are not set yet.
pub fn prepare(app: &App, new: NewSource) -> Result<Source, Error> {
    let id = SourceId::new();
    let entry = kind(&new.connector).map_err(|fault| illegal(fault.message))?;
    let sealed = secrets::seal(
        &app.sealer,
        &id,
        entry.name,
        new.connector_attributes,
        None,
        Equal::Renewed,
    )?;
    let source = Source {
        id,
        name: check_name(&new.name, &new.connector)?,
        description: new.description,
        connector: new.connector,
        owner_id: new.owner_id,
        features: Json(check_features(entry.features, entry.display_name, new.features)?),
        connector_attributes: Json(sealed.attributes),
        extra: Json(new.extra),
        policy_id: new.policy_id,
        deadline: check_deadline(new.deadline)?,
        version: 1,
        generation: 1,
        healthy: false,
        status: UNCHECKED.into(),
        created: Micros(0),
        modified: Micros(0),
    };
    check_attributes(app, &source)?;
    Ok(source)
}

/// Inserts a source in the caller's transaction; a built-in source with an account for every
/// person.
pub fn insert(
    tx: &mut Tx<'_>,
    source: Source,
    keys: &[SourceKey],
    actor: &str,
) -> Result<Source, Error> {
    let now = tx.now()?;
    let source = Source { created: now, modified: now, ..source };
    check_references(tx, &source)?;
    tx.insert_source(&source, actor)?;
    for key in keys {
        tx.insert_source_key(key)?;
    }
    if source.is_built_in() {
        for person in tx.identities()? {
            account::insert_built_in(tx, &source, &person)?;
        }
    }
    let detail = serde_json::json!({ "name": source.name, "connector": source.connector });
    tx.audit(Audit { actor, action: "SOURCE_CREATE", object: source.id.as_str(), detail })?;
    Ok(source)
}

/// Removes a source with its accounts, in the caller's transaction, and cancels its unfinished
/// changes.
pub fn remove(tx: &mut Tx<'_>, source: &Source, actor: &str) -> Result<(), Error> {
    if name_key(&source.name) == name_key(IDENTITY_NOW) {
        return Err(Error::bad(
            BadRequest::InUse,
            "people sign in with IdentityNow: it cannot be removed",
        ));
    }
    if let Some(group) = tx.group_of(&source.id)? {
        return Err(Error::bad(
            BadRequest::InUse,
            format!("{} is in the sync group {}: take it out first", source.name, group.name),
        ));
    }
    tx.cancel_changes(&source.id, "the source was removed", cancelled)?;
    tx.remove_source(&source.id)?;
    let detail = serde_json::json!({ "name": source.name });
    tx.audit(Audit { actor, action: "SOURCE_DELETE", object: source.id.as_str(), detail })?;
    Ok(())
}

/// Checks that the name is free, and that the owner and the policy exist.
pub(super) fn check_references(tx: &mut Tx<'_>, source: &Source) -> Result<(), Error> {
    if tx.source_named(&source.name)?.is_some_and(|other| other.id != source.id) {
        return Err(Error::bad(
            BadRequest::Conflict,
            format!("there is a source named {} already: choose another name", source.name),
        ));
    }
    if tx.identity(&source.owner_id)?.is_none() {
        return Err(Error::bad(
            BadRequest::Referenced,
            format!("owner: there is no identity {}", source.owner_id),
        ));
    }
    match &source.policy_id {
        Some(policy) if tx.policy(policy)?.is_none() => {
            Err(Error::bad(BadRequest::Referenced, format!("there is no password policy {policy}")))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn check_name(name: &str, connector: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::bad(BadRequest::Missing, "name is missing: give the source a name"));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(Error::bad(
            BadRequest::Length,
            format!("name is longer than {LONGEST_NAME} characters"),
        ));
    }
    if holds_controls(name) {
        return Err(illegal(
            "name: give one line without control characters, hidden ones or marks of text direction",
        ));
    }
    if name_key(name) == name_key(IDENTITY_NOW) && connector != crate::model::source::BUILT_IN {
        return Err(illegal("name: IdentityNow is the built-in source: choose another name"));
    }
    Ok(name.to_owned())
}

/// Checks features against the contract and the abilities of the connector. Returns them in their
/// order and spelling as sent, each once without regard to case.
pub(super) fn check_features(
    can: &[Feature],
    connector: &str,
    features: Vec<String>,
) -> Result<Vec<String>, Error> {
    let mut kept: Vec<String> = Vec::with_capacity(features.len());
    for feature in features {
        if !FEATURES.iter().any(|known| known.eq_ignore_ascii_case(&feature)) {
            let nearest =
                rekey_connectors::nearest(&feature.to_ascii_uppercase(), FEATURES.iter().copied());
            return Err(illegal(format!("features: there is no {feature}{nearest}")));
        }
        if feature.eq_ignore_ascii_case("PASSWORD") && !can.contains(&Feature::Password) {
            return Err(illegal(format!(
                "features: a source of kind {connector} cannot set passwords"
            )));
        }
        if !kept.iter().any(|other| other.eq_ignore_ascii_case(&feature)) {
            kept.push(feature);
        }
    }
    Ok(kept)
}

pub(super) fn check_deadline(deadline: Option<Duration>) -> Result<Option<i64>, Error> {
    let Some(deadline) = deadline else { return Ok(None) };
    if !DEADLINES.contains(&deadline) {
        return Err(illegal("deadline: give a time from 1m to 24h"));
    }
    Ok(i64::try_from(deadline.as_micros()).ok())
}

/// Checks whether the connector accepts the source's attributes, without connecting.
///
/// A source without attributes may be described before its system is known, as long as it has no
/// password changes.
pub(super) fn check_attributes(app: &App, source: &Source) -> Result<(), Error> {
    let Source { id, connector, connector_attributes, .. } = source;
    if connector_attributes.0.is_empty() && !source.has_password() {
        return Ok(());
    }
    let kind = kind(connector)?;
    let checked = if source.is_built_in() {
        kind.check(&connector_attributes.0)
    } else {
        let open = secrets::open(&app.sealer, id, connector, &connector_attributes.0)?;
        kind.open(open, &app.config.egress.allow).map(drop)
    };
    match checked {
        Ok(()) => Ok(()),
        Err(fault) if fault.message.starts_with("connectorAttributes") => {
            Err(illegal(fault.message))
        }
        Err(fault) => Err(illegal(format!("connectorAttributes: {}", fault.message))),
    }
}

pub(super) fn illegal(text: impl Into<String>) -> Error {
    Error::bad(BadRequest::IllegalValue, text)
}
