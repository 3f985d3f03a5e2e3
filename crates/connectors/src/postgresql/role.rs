//! What rekey reads of a role.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use crate::{Listed, Stamp};

/// The roles that can log in, after `$1`, `$2` at most.
pub(super) const LIST: &str = "SELECT rolname::text, coalesce(rolvaliduntil < now(), false) \
     FROM pg_catalog.pg_roles \
     WHERE rolcanlogin AND rolname::text COLLATE \"C\" > $1::text AND rolname !~ '^pg_' \
     ORDER BY rolname::text COLLATE \"C\" LIMIT $2::bigint";

/// One role, with its verifier. Longer names would be cut off, and then mean another role.
pub(super) const ROLE: &str = "SELECT rolcanlogin, rolsuper, coalesce(rolvaliduntil < now(), false), rolpassword \
     FROM pg_catalog.pg_authid \
     WHERE rolname = $1::text::name AND octet_length($1::text) <= 63";

/// One role, where verifiers may not be read.
pub(super) const ROLE_WITHOUT_VERIFIER: &str = "SELECT rolcanlogin, rolsuper, \
     coalesce(rolvaliduntil < now(), false), NULL::text \
     FROM pg_catalog.pg_roles \
     WHERE rolname = $1::text::name AND octet_length($1::text) <= 63";

/// What rekey needs to know of a role.
pub(super) struct Role {
    pub(super) can_log_in: bool,
    pub(super) is_superuser: bool,
    pub(super) is_expired: bool,
    /// `None` where there is no password, or it may not be read.
    pub(super) verifier: Option<String>,
    pub(super) stamp: Stamp,
}

impl Role {
    /// From a row of [`ROLE`] or [`ROLE_WITHOUT_VERIFIER`].
    pub(super) fn read(row: &Row, is_readable: bool) -> Self {
        let verifier: Option<String> = row.get(3);
        let stamp = if is_readable { stamp(verifier.as_deref()) } else { Stamp::default() };
        Self {
            can_log_in: row.get(0),
            is_superuser: row.get(1),
            is_expired: row.get(2),
            verifier,
            stamp,
        }
    }
}

/// The hash of a verifier: it tells a change and tells nothing else.
pub(super) fn stamp(verifier: Option<&str>) -> Stamp {
    let hash = digest::digest(&digest::SHA256, verifier.unwrap_or_default().as_bytes());
    Stamp(hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// An account, from a row of [`LIST`].
pub(super) fn listed(row: &Row) -> Listed {
    let name: String = row.get(0);
    let mut attributes = Map::new();
    attributes.insert("rolname".to_owned(), Value::from(name.as_str()));
    Listed {
        native_identity: name.clone(),
        stable_id: None,
        name,
        attributes,
        disabled: row.get(1),
        locked: false,
    }
}
