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

/// The connector of sources whose accounts and passwords are in rekey's own store.
pub const BUILT_IN: &str = "rekey";

/// The default `deleteThreshold` of a source: the percentage of its accounts that one aggregation
/// may remove.
const DELETE_THRESHOLD: u64 = 10;

/// A system on which rekey manages accounts.
#[derive(Clone, Debug)]
pub struct Source {
    /// The source's id.
    pub id: SourceId,
    /// Its name; unique, compared without regard to case.
    pub name: String,
    /// A description for people.
    pub description: Option<String>,
    /// The name of its connector.
    pub connector: String,
    /// The person who owns the source.
    pub owner_id: IdentityId,
    /// The features that its owner has enabled, in the wire's words.
    pub features: Json<Vec<String>>,
    /// The connector's configuration; secrets are sealed (see [`crate::connector::secrets`]).
    pub connector_attributes: Json<Map<String, Value>>,
    /// Members of the contract that rekey stores but does not use.
    pub extra: Json<Map<String, Value>>,
    /// Its own password policy.
    pub policy_id: Option<PolicyId>,
    /// The time limit of a change, in microseconds; none for the setting `changes.deadline`.
    pub deadline: Option<i64>,
    /// Increases with every change of how rekey reaches the source.
    pub version: i64,
    /// The correlation generation. It increases when the source may list other accounts than
    /// before; an account that was confirmed in an older generation takes no change.
    pub generation: i64,
    /// Whether the last check succeeded.
    pub healthy: bool,
    /// One of the contract's `SOURCE_STATE_…`.
    pub status: String,
    /// The time of creation.
    pub created: Micros,
    /// The time of the last modification.
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

/// The rule that finds the person of an account: two attributes have equal values, compared as the
/// source compares them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Correlation {
    /// The account's attribute; every account has `nativeIdentity` and `name`.
    pub account_attribute: String,
    /// The identity's attribute; every identity has `alias`, `name` and `email`.
    pub identity_attribute: String,
    /// Whether an account may be correlated with a person who has capabilities. Otherwise a
    /// connected system could obtain an administrator's next password by naming them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}

/// The stored correlation is invalid.
#[derive(Debug, thiserror::Error)]
#[error("connectorAttributes.correlation: {0}")]
pub struct InvalidCorrelation(serde_json::Error);

/// Whether passwords can be changed on a source of this name: `PASSWORD` is among its features, or
/// it is the source for sign-ins.
pub fn has_password(name: &str, features: &[String]) -> bool {
    name == IDENTITY_NOW || features.iter().any(|feature| feature.eq_ignore_ascii_case("PASSWORD"))
}

/// The time limit of a change on a source with the given `deadline`, in microseconds, or none.
pub fn deadline(deadline: Option<i64>, default: Duration) -> Duration {
    deadline.and_then(|micros| u64::try_from(micros).ok()).map_or(default, Duration::from_micros)
}

impl Source {
    /// Whether passwords can be changed on it.
    pub fn has_password(&self) -> bool {
        has_password(&self.name, &self.features.0)
    }

    /// Whether its accounts and passwords are in rekey's own store.
    pub fn is_built_in(&self) -> bool {
        self.connector == BUILT_IN
    }

    /// Whether a person may have several accounts on it: `severalAccounts`.
    pub fn allows_several_accounts(&self) -> bool {
        self.extra.0.get("severalAccounts").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The percentage of its accounts that one aggregation may remove: `deleteThreshold`.
    pub fn delete_threshold(&self) -> u64 {
        let kept = self.extra.0.get("deleteThreshold").and_then(Value::as_u64);
        kept.unwrap_or(DELETE_THRESHOLD).min(100)
    }

    /// The rule that finds the people of its accounts, if configured.
    pub fn correlation(&self) -> Result<Option<Correlation>, InvalidCorrelation> {
        let kept = self.connector_attributes.0.get("correlation").filter(|value| !value.is_null());
        let Some(mut value) = kept.cloned() else { return Ok(None) };
        // A null member counts as absent, as everywhere in the API.
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        serde_json::from_value(value).map(Some).map_err(InvalidCorrelation)
    }
}
