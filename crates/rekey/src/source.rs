//! A connected system.

use std::time::Duration;

use rekey_connectors::{Entry, Fault, FaultKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Error,
    app::App,
    clock::Micros,
    error::BadRequest,
    id::{IdentityId, PolicyId, SourceId},
    store::{Json, from_row},
};

pub mod aggregation;
mod change;
pub mod correlation;
mod creator;
mod list;
pub mod reach;
pub mod room;
pub mod seen;
mod tasks;
mod update;

pub use self::{
    aggregation::aggregate,
    change::{NewSource, create, ensure_identity_now, insert, prepare, remove},
    creator::create_for,
    list::{Check, Described, check, describe, keep_health, list, one, only_own, seen},
    tasks::{task, tasks},
    update::{Update, prepare_update, update},
};

/// The name of the built-in source that people sign in to.
pub const IDENTITY_NOW: &str = "IdentityNow";

/// Percent of the accounts that one aggregation may remove, where a source does not say.
const DELETE_THRESHOLD: u64 = 10;

/// A system rekey manages accounts on.
#[derive(Clone, Debug)]
pub struct Source {
    /// Rekey's name for it.
    pub id: SourceId,
    /// The name people read; unique, compared without regard to case.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Which connector speaks to it.
    pub connector: String,
    /// Who answers for it.
    pub owner_id: IdentityId,
    /// What its owner has switched on, as the wire has it.
    pub features: Json<Vec<String>>,
    /// The connector's configuration; secrets are sealed (see [`crate::secrets`]).
    pub connector_attributes: Json<Map<String, Value>>,
    /// Members of the contract that rekey keeps and does not use.
    pub extra: Json<Map<String, Value>>,
    /// Its own password policy.
    pub policy_id: Option<PolicyId>,
    /// How long a change may take, in microseconds; none for the setting `changes.deadline`.
    pub deadline: Option<i64>,
    /// Moves with every change of how rekey reaches it.
    pub version: i64,
    /// The correlation generation: it rises when the source may list other accounts than before,
    /// and an account that was confirmed in an older one cannot be changed.
    pub generation: i64,
    /// Whether the last check went well.
    pub healthy: bool,
    /// One of the contract's `SOURCE_STATE_…`.
    pub status: String,
    /// When it was made.
    pub created: Micros,
    /// When it was last changed.
    pub modified: Micros,
}

from_row!(Source {
    id,
    name,
    description,
    connector,
    owner_id,
    features,
    connector_attributes,
    extra,
    policy_id,
    deadline,
    version,
    generation,
    healthy,
    status,
    created,
    modified,
});

/// How an account finds its person: by equal values, compared as the system compares them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Correlation {
    /// The account's attribute; `nativeIdentity` and `name` are always there.
    pub account_attribute: String,
    /// The identity's attribute; `alias`, `name` and `email` are always there.
    pub identity_attribute: String,
    /// Whether an account may become that of a person with capabilities: otherwise a connected
    /// system could have an administrator's next password by naming them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}

impl Source {
    /// Whether passwords may be changed on it: `PASSWORD` is among its features, or it is built in.
    pub fn has_password(&self) -> bool {
        self.name == IDENTITY_NOW
            || self.features.0.iter().any(|feature| feature.eq_ignore_ascii_case("PASSWORD"))
    }

    /// Whether it is kept in rekey's own store.
    pub fn is_built_in(&self) -> bool {
        self.connector == crate::builtin::NAME
    }

    /// How long a change on it may take.
    pub fn deadline(&self, app: &App) -> Duration {
        self.deadline
            .and_then(|micros| u64::try_from(micros).ok())
            .map_or(app.config.changes.deadline, Duration::from_micros)
    }

    /// Whether a person may have several accounts on it: `severalAccounts`.
    pub fn allows_several_accounts(&self) -> bool {
        self.extra.0.get("severalAccounts").and_then(Value::as_bool).unwrap_or(false)
    }

    /// How much of its accounts one aggregation may remove, in percent: `deleteThreshold`.
    pub fn delete_threshold(&self) -> u64 {
        let kept = self.extra.0.get("deleteThreshold").and_then(Value::as_u64);
        kept.unwrap_or(DELETE_THRESHOLD).min(100)
    }

    /// How its accounts find their people, if configured.
    pub fn correlation(&self) -> Result<Option<Correlation>, Error> {
        let kept = self.connector_attributes.0.get("correlation").filter(|value| !value.is_null());
        let Some(mut value) = kept.cloned() else { return Ok(None) };
        // A member that is null counts as absent everywhere.
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        serde_json::from_value(value).map(Some).map_err(|error| {
            Error::bad(
                BadRequest::IllegalValue,
                format!("connectorAttributes.correlation: {error}"),
            )
        })
    }
}

/// Every kind of connector: those of the connectors' crate, and the built-in source.
pub fn kinds() -> impl Iterator<Item = &'static Entry> {
    rekey_connectors::KINDS.iter().chain([&crate::builtin::KIND])
}

/// Finds a kind, or says which there are.
pub fn kind(name: &str) -> Result<&'static Entry, Fault> {
    kinds().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = kinds().map(|entry| entry.name).collect();
        Fault::new(
            FaultKind::Misconfigured,
            format!(
                "there is no connector `{name}` in this build: use one of {}",
                names.join(", ")
            ),
        )
    })
}
