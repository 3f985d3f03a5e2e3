//! Updates sources.

use std::time::Duration;

use super::{
    aggregation::{self, AGGREGATION},
    change::{UNCHECKED, check_attributes, check_features, check_name, check_references},
    creator::{check_number, most_of},
    reach::{self, By, Changed},
};
use crate::{
    App, Error,
    access::Caller,
    connector::{
        kind,
        secrets::{self, Equal},
    },
    error::BadRequest,
    keys,
    model::{
        column::Json,
        id::SourceId,
        identity::name_key,
        source::{IDENTITY_NOW, Source},
        source_key::SourceKey,
    },
    password::state::cancelled,
    store::{Audit, Tx},
};

/// Most tries of an update when other updates come first.
const TRIES: usize = 5;

/// An update of a source, checked and ready to be written.
pub struct Update {
    old: Source,
    new: Source,
    changed: Changed,
    /// Whether the source could not be connected to before, because an attribute was missing.
    completes: bool,
    keys: Vec<SourceKey>,
    /// How many sources the new owner may have; `None` without a new owner or without a limit.
    most: Option<i64>,
}

/// Updates a source to the result of `change`, which may be called several times: another update
/// that comes first causes a retry.
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
        let mut update = prepare_update(app, By::Caller(caller), old, new)?;
        if update.members().is_empty() {
            return Ok(update.old);
        }
        update.make_keys(app).await?;
        let (actor, launcher) = (caller.principal().to_owned(), caller.name.clone());
        if let Some(done) = app.store.write(move |tx| update.write(tx, &actor, &launcher)).await? {
            return Ok(done);
        }
    }
    Err(Error::bad(BadRequest::Conflict, "the source was changed at the same moment: try again"))
}

/// Checks an update from `old` to `new`, whose secrets may be in clear or the stored ciphertext.
///
/// Fails if `by` may not make it. If the source reaches another system now, the secrets that were
/// sent as the stored ciphertext are removed: they were never meant for that system.
pub fn prepare_update(
    app: &App,
    by: By<'_>,
    old: Source,
    mut new: Source,
) -> Result<Update, Error> {
    let entry = kind(&old.connector)?;
    if new.name != old.name {
        new.name = check_name(&new.name, &new.connector)?;
    }
    if name_key(&old.name) == name_key(IDENTITY_NOW) && old.name != new.name {
        return Err(Error::bad(BadRequest::IllegalUpdate, "IdentityNow keeps its name"));
    }
    new.features = Json(check_features(entry.features, entry.display_name, new.features.0)?);
    let mut sealed = secrets::seal(
        &app.sealer,
        &old.id,
        entry.name,
        new.connector_attributes.0,
        Some(&old.connector_attributes.0),
        match by {
            By::Caller(_) => Equal::Renewed,
            By::Operator => Equal::Kept,
        },
    )?;
    new.connector_attributes = Json(sealed.attributes.clone());
    let changed = reach::check(by, Some(&old), &new)?;
    let mut completes = false;
    let switched_on = new.has_password() && !old.has_password();
    if new.connector_attributes != old.connector_attributes {
        check_attributes(app, &new)?;
        if changed.moved {
            sealed.forget_returned();
            new.connector_attributes = Json(sealed.attributes);
        }
        completes = entry.check(&old.connector_attributes.0).is_err();
        new.version = old.version + 1;
        new.healthy = false;
        new.status = UNCHECKED.into();
    } else if switched_on {
        check_attributes(app, &new)?;
    }
    if changed.who && new.version == old.version {
        // A new version stops an aggregation that is under way: it read the old configuration.
        new.version = old.version + 1;
    }
    let most = match by {
        By::Caller(caller) if new.owner_id != old.owner_id => most_of(app, caller),
        By::Caller(_) | By::Operator => None,
    };
    Ok(Update { old, new, changed, completes, keys: Vec::new(), most })
}

impl Update {
    /// The source before the update.
    pub fn old(&self) -> &Source {
        &self.old
    }

    /// Returns the members that differ, by their names on the wire; empty if nothing changes.
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

    /// Generates new key pairs: replacements if the source reaches another system, and the first
    /// ones if passwords may be changed on it from now on.
    pub async fn make_keys(&mut self, app: &App) -> Result<(), Error> {
        let id = self.old.id.clone();
        let switched_on = self.new.has_password() && !self.old.has_password();
        if self.changed.moved
            || switched_on && !app.store.read(move |tx: &mut Tx<'_>| tx.has_keys(&id)).await?
        {
            self.keys = keys::generate_needed(&app.keys, &self.new).await?;
        }
        Ok(())
    }

    /// Writes the update in the caller's transaction. `None` if the source was changed meanwhile.
    pub fn write(
        &self,
        tx: &mut Tx<'_>,
        actor: &str,
        launcher: &str,
    ) -> Result<Option<Source>, Error> {
        let now = tx.now()?;
        // The row lock makes concurrent updates take turns: the second one then reads what the
        // first one wrote.
        tx.hold_source(&self.old.id, self.old.version)?;
        let current = tx.source(&self.old.id)?.ok_or(Error::NotFound("source"))?;
        if current.modified != self.old.modified {
            return Ok(None);
        }
        check_references(tx, &self.new)?;
        if let Some(most) = self.most {
            check_number(tx, &self.new.owner_id, 0, most)?;
        }
        let mut new = self.new.clone();
        // `modified` identifies the state that an update is based on, so it grows even if the clock
        // does not.
        new.modified = now.max(crate::model::time::Micros(self.old.modified.0 + 1));
        tx.update_source(&new)?;
        if self.changed.moved {
            tx.cancel_changes(
                &new.id,
                "the source reaches another system now: ask again",
                cancelled,
            )?;
        }
        if self.changed.moved || !self.keys.is_empty() {
            keys::rotate(tx, &new.id, &self.keys, Duration::ZERO)?;
        }
        if self.changed.moved || self.changed.who {
            // The accounts that the source listed so far say nothing about the accounts that it has
            // now.
            aggregation::reconfirm(tx, &new.id, launcher)?;
        } else if self.completes && tx.unfinished_job(AGGREGATION, &new.id)?.is_none() {
            // Earlier aggregations could not connect: the accounts wait for one that can.
            aggregation::enqueue(tx, &new.id, launcher)?;
        }
        let detail = serde_json::json!({
            "name": new.name, "version": new.version, "members": self.members(), "endpointChanged": self.changed.moved, "accountsChanged": self.changed.who,
        });
        let action = if self.old.features == new.features {
            "SOURCE_UPDATE"
        } else {
            "SOURCE_FEATURES_STRING_UPDATE"
        };
        tx.audit(Audit { actor, action, object: new.id.as_str(), detail })?;
        Ok(Some(new))
    }
}
