//! A connected system.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    column::{Json, from_row},
    id::{IdentityId, PolicyId, SourceId},
    time::Micros,
};

/// The name of the built-in source that people sign in to.
pub const IDENTITY_NOW: &str = "IdentityNow";

/// The connector of the sources that rekey's own store keeps.
pub const BUILT_IN: &str = "rekey";

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
    /// The connector's configuration; secrets are sealed (see [`crate::connector::secrets`]).
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

/// The kept correlation cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("connectorAttributes.correlation: {0}")]
pub struct InvalidCorrelation(serde_json::Error);

/// Whether passwords may be changed on a source of this name: `PASSWORD` is among its features, or
/// people sign in to it.
pub fn has_password(name: &str, features: &[String]) -> bool {
    name == IDENTITY_NOW || features.iter().any(|feature| feature.eq_ignore_ascii_case("PASSWORD"))
}

/// How long a change may take on a source with its own `deadline`, in microseconds, or none.
pub fn deadline(deadline: Option<i64>, default: Duration) -> Duration {
    deadline.and_then(|micros| u64::try_from(micros).ok()).map_or(default, Duration::from_micros)
}

impl Source {
    /// Whether passwords may be changed on it.
    pub fn has_password(&self) -> bool {
        has_password(&self.name, &self.features.0)
    }

    /// Whether it is kept in rekey's own store.
    pub fn is_built_in(&self) -> bool {
        self.connector == BUILT_IN
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
    pub fn correlation(&self) -> Result<Option<Correlation>, InvalidCorrelation> {
        let kept = self.connector_attributes.0.get("correlation").filter(|value| !value.is_null());
        let Some(mut value) = kept.cloned() else { return Ok(None) };
        // A member that is null counts as absent everywhere.
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        serde_json::from_value(value).map(Some).map_err(InvalidCorrelation)
    }
}
