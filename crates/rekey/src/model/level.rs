//! User levels: the rights of a person beyond their own things.

use serde::{Deserialize, Serialize};

/// The rights of a person beyond their own things (docs/contract.md#user-levels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Level {
    CertAdmin,
    CloudGovAdmin,
    CloudGovUser,
    Helpdesk,
    Internal,
    OrgAdmin,
    PolicyAdmin,
    ReportAdmin,
    RoleAdmin,
    RoleSubadmin,
    SaasManagementAdmin,
    SaasManagementReader,
    SourceAdmin,
    SourceSubadmin,
}
