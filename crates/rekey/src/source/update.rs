//! Changing sources.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Source,
    change::{UNCHECKED, check_attributes, check_features, check_name, check_references},
};
use crate::{
    App, Error,
    access::{Caller, Level},
    error::BadRequest,
    id::SourceId,
    identity::name_key,
    keys::{self, SourceKey},
    secrets::{self, Equal},
    store::{Audit, Json, Tx},
};

/// How often a change is tried again when another came first.
const TRIES: usize = 5;
/// Connector attributes that say which system is spoken to and how safely, whichever connector.
const ENDPOINT: &[&str] =
    &["allowinsecure", "cacertificate", "endpoint", "host", "hostkey", "port", "socket", "tls"];

/// A change of a source, checked and ready to be written.
pub struct Update {
    old: Source,
    new: Source,
    /// Whether it reaches another system now.
    moved: bool,
    /// Whether it may do so although others share its passwords.
    may_repoint_group: bool,
    keys: Vec<SourceKey>,
}

/// Changes a source as `change` says; it may be asked more than once.
pub async fn update(
    app: &App,
    id: &SourceId,
    caller: &Caller,
    change: impl Fn(&Source) -> Result<Source, Error>,
) -> Result<Source, Error> {
    for _ in 0..TRIES {
        let wanted = id.clone();
        let old: Option<Source> = app.store.read(move |tx| tx.source(&wanted)).await?;
        let old = old.ok_or(Error::NotFound("source"))?;
        let new = change(&old)?;
        let mut update = prepare_update(app, old, new, Equal::Renewed)?;
        update.may_repoint_group =
            caller.is_api_authority() || caller.has_level(&[Level::OrgAdmin]);
        if update.members().is_empty() {
            return Ok(update.old);
        }
        update.make_keys(app).await?;
        let actor = caller.principal().to_owned();
        if let Some(done) = app.store.write(move |tx| update.write(tx, &actor)).await? {
            return Ok(done);
        }
    }
    Err(Error::bad(BadRequest::Conflict, "the source was changed at the same moment: try again"))
}

/// Checks a change from `old` to `new`, whose secrets may be in clear or the stored ciphertext.
///
/// A source that reaches another system now forgets the secrets that came back as ciphertext:
/// otherwise whoever may change the endpoint could have them sent to a system of their own.
pub fn prepare_update(
    app: &App,
    old: Source,
    mut new: Source,
    equal: Equal,
) -> Result<Update, Error> {
    let entry = super::kind(&old.connector)?;
    if new.name != old.name {
        new.name = check_name(&new.name, &new.connector)?;
    }
    if name_key(&old.name) == name_key(super::IDENTITY_NOW) && old.name != new.name {
        return Err(Error::bad(BadRequest::IllegalUpdate, "IdentityNow keeps its name"));
    }
    new.features = Json(check_features(entry.features, entry.display_name, new.features.0)?);
    let sealed = secrets::seal(
        &app.sealer,
        &old.id,
        entry.name,
        new.connector_attributes.0,
        Some(&old.connector_attributes.0),
        equal,
    )?;
    new.connector_attributes = Json(sealed.attributes);
    let mut moved = false;
    if new.connector_attributes != old.connector_attributes {
        check_attributes(app, &new)?;
        moved = endpoint(&old.connector_attributes.0) != endpoint(&new.connector_attributes.0);
        if moved {
            for name in sealed.returned {
                new.connector_attributes.0.remove(name);
            }
        }
        new.version = old.version + 1;
        new.healthy = false;
        new.status = UNCHECKED.into();
    }
    Ok(Update { old, new, moved, may_repoint_group: true, keys: Vec::new() })
}

impl Update {
    /// The source as it was.
    pub fn old(&self) -> &Source {
        &self.old
    }

    /// The members that differ, as the wire names them; empty for no change at all.
    pub fn members(&self) -> Vec<&'static str> {
        let (old, new) = (&self.old, &self.new);
        [
            ("name", old.name != new.name),
            ("description", old.description != new.description),
            ("owner", old.owner_id != new.owner_id),
            ("features", old.features != new.features),
            ("connectorAttributes", old.connector_attributes != new.connector_attributes),
            ("passwordPolicies", old.policy_id != new.policy_id),
            ("deadline", old.deadline != new.deadline),
            ("extra", old.extra != new.extra),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }

    /// Makes the keys that take the place of the old ones, if the source reaches another system,
    /// and the first ones, if passwords may be changed on it from now on.
    pub async fn make_keys(&mut self, app: &App) -> Result<(), Error> {
        let id = self.old.id.clone();
        let switched_on = self.new.has_password() && !self.old.has_password();
        if self.moved
            || switched_on && !app.store.read(move |tx: &mut Tx<'_>| tx.has_keys(&id)).await?
        {
            self.keys = keys::generate_needed(app, &self.new).await?;
        }
        Ok(())
    }

    /// Writes it, inside the caller's deed; nothing, if the source was changed meanwhile.
    pub fn write(&self, tx: &mut Tx<'_>, actor: &str) -> Result<Option<Source>, Error> {
        let now = tx.now()?;
        // Two changes at once take turns: the second one sees that the first has been.
        tx.hold_source(&self.old.id, self.old.version)?;
        let current = tx.source(&self.old.id)?.ok_or(Error::NotFound("source"))?;
        if current.modified != self.old.modified {
            return Ok(None);
        }
        check_references(tx, &self.new)?;
        self.check_group(tx)?;
        let mut new = self.new.clone();
        new.modified = now.max(crate::clock::Micros(self.old.modified.0 + 1));
        tx.update_source(&new)?;
        if self.moved {
            tx.cancel_changes(&new.id, "the source reaches another system now: ask again")?;
        }
        if self.moved || !self.keys.is_empty() {
            keys::rotate(tx, &new.id, &self.keys, Duration::ZERO)?;
        }
        let detail = serde_json::json!({
            "name": new.name, "version": new.version, "members": self.members(), "endpointChanged": self.moved,
        });
        let action = if self.old.features == new.features {
            "SOURCE_UPDATE"
        } else {
            "SOURCE_FEATURES_STRING_UPDATE"
        };
        tx.audit(Audit { actor, action, object: new.id.as_str(), detail })?;
        Ok(Some(new))
    }

    /// Whoever answers for one member of a sync group could otherwise have the passwords of all
    /// sent to a system of their own (docs/decisions/0005).
    fn check_group(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if !self.moved || self.may_repoint_group {
            return Ok(());
        }
        let Some(group) = tx.group_of(&self.old.id)? else { return Ok(()) };
        Err(Error::Forbidden(format!(
            "{} is in the sync group {}, whose passwords would reach another system: ask an organization administrator (ORG_ADMIN) to change the endpoint",
            self.old.name, group.name
        )))
    }
}

/// The attributes that say which system it is.
fn endpoint(attributes: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let is_endpoint = |name: &str| {
        let name = name.to_ascii_lowercase();
        ENDPOINT.contains(&name.as_str())
            || ["url", "uri", "host", "port"].iter().any(|end| name.ends_with(end))
    };
    let mut found: Vec<_> = attributes.iter().filter(|(name, _)| is_endpoint(name)).collect();
    found.sort_by_key(|(name, _)| name.as_str());
    found
}
