//! `/password-policies` (docs/contract.md#password-policies), and the JSON form of a policy.

use serde_json::{Value, json};

use super::path::Style;
use crate::{model::time::Micros, policy::Described};

pub(super) mod get;
pub(super) mod list;

/// `dateCreated` and `lastUpdated` are texts in the older styles and numbers (milliseconds) in the
/// newer ones: the SDKs of each reject the other form.
fn wire(described: &Described, style: Style) -> Value {
    let Described { policy, source_ids } = described;
    let date = |at: Micros| match style {
        Style::Beta | Style::V3 => json!(at.rfc3339()),
        Style::Latest | Style::V1 | Style::V2024 | Style::V2025 | Style::V2026 => {
            json!(at.0.div_euclid(1000))
        }
    };
    let mut wire = serde_json::to_value(&policy.members.0).unwrap_or_default();
    if let Some(members) = wire.as_object_mut() {
        let own = json!({
            "id": policy.id,
            "name": policy.name,
            "description": policy.description,
            "dateCreated": date(policy.created),
            "lastUpdated": date(policy.modified),
            "created": policy.created.rfc3339(),
            "modified": policy.modified.rfc3339(),
            "defaultPolicy": policy.default_policy,
            "enablePasswdExpiration": false,
            "requireStrongAuthn": false,
            "requireStrongAuthOffNetwork": false,
            "requireStrongAuthUntrustedGeographies": false,
            "sourceIds": source_ids,
        });
        members.extend(own.as_object().cloned().unwrap_or_default());
    }
    wire
}
