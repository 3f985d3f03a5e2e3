//! `/accounts` (docs/contract.md#accounts), and the JSON form of an account.

use serde_json::{Value, json};

use super::sources::identity_ref;
use crate::account::Described;

pub(super) mod get;
pub(super) mod list;
pub(super) mod patch;

/// An account as JSON, with every member that the SDKs require.
fn wire(described: &Described) -> Value {
    let Described { account, source, identity } = described;
    let person = identity.as_ref().map(|person| identity_ref(&person.id, Some(&person.name)));
    let owner = source.as_ref();
    let owner = owner.map(|of| identity_ref(&of.source.owner_id, of.owner.as_ref()));
    json!({
        "id": account.id,
        "name": account.name,
        "created": account.created.rfc3339(),
        "modified": account.modified.rfc3339(),
        "sourceId": account.source_id,
        "sourceName": source.as_ref().map(|source| &source.source.name),
        "identityId": account.identity_id,
        "cloudLifecycleState": null,
        "identityState": identity.as_ref().map(|person| {
            if person.enabled { "ACTIVE" } else { "INACTIVE_SHORT_TERM" }
        }),
        "connectionType": "direct",
        "isMachine": false,
        "attributes": account.attributes.0,
        "authoritative": false,
        "description": null,
        "disabled": account.disabled,
        "locked": account.locked,
        "nativeIdentity": account.native_identity,
        "systemAccount": false,
        "uncorrelated": account.identity_id.is_none(),
        "uuid": account.stable_id,
        "manuallyCorrelated": account.manually_correlated,
        "hasEntitlements": false,
        "identity": person,
        "sourceOwner": owner,
        "features": source.as_ref().map(|source| source.source.features.0.join(",")),
        "origin": "AGGREGATED",
    })
}
