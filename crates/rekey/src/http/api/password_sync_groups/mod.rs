//! `/password-sync-groups` (docs/contract.md#password-sync-groups), and the JSON form of a group.

use serde_json::{Value, json};

use crate::model::{id::SourceId, sync_group::SyncGroup};

pub(super) mod get;
pub(super) mod list;

fn wire((group, source_ids): &(SyncGroup, Vec<SourceId>)) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "passwordPolicyId": group.policy_id,
        "sourceIds": source_ids,
        "created": group.created.rfc3339(),
        "modified": group.modified.rfc3339(),
    })
}
