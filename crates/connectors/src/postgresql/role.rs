//! The queries for roles and their results.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde_json::{Map, Value};
use tokio_postgres::SimpleQueryRow;

use super::{
    answer::{column, is_true, unexpected, value},
    door::{Rights, text},
};
use crate::{Fault, Listed, Stamp};

/// Selects the next `most` roles that can log in, ordered by oid: this order is the same in every
/// encoding, and a rename in the meantime does not change a role's position.
pub(super) fn list(after: u32, most: usize) -> String {
    format!(
        "SELECT oid, rolname, coalesce(rolvaliduntil < now(), false) FROM pg_catalog.pg_roles \
         WHERE rolcanlogin AND oid > {after} AND rolname !~ '^pg_' ORDER BY oid LIMIT {most}"
    )
}

/// Selects one role, with its verifier if `is_readable`. The server would truncate a name of more
/// than 63 bytes, which could then match another role.
///
/// A role is privileged if it is, or is a member of, a role with SUPERUSER, CREATEROLE, REPLICATION
/// or BYPASSRLS, or a role that came with the server, except `pg_database_owner`. The roles that
/// came with the server have oids below 16384.
pub(super) fn role(name: &str, is_readable: bool) -> String {
    let (table, verifier) =
        if is_readable { ("pg_authid", "rolpassword") } else { ("pg_roles", "NULL") };
    let name = text(name);
    format!(
        "SELECT oid, rolname, rolcanlogin, coalesce(rolvaliduntil < now(), false), {verifier}, \
         rolname IN (session_user, current_user), \
         EXISTS (SELECT FROM pg_catalog.pg_roles other WHERE (other.rolsuper \
           OR other.rolcreaterole OR other.rolreplication OR other.rolbypassrls \
           OR other.oid < 16384 AND other.rolname <> 'pg_database_owner') \
           AND pg_has_role(this.oid, other.oid, 'MEMBER')) \
         FROM pg_catalog.{table} this \
         WHERE rolname = {name}::name AND octet_length({name}) <= 63"
    )
}

/// The properties of a role that rekey needs.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, as the server has them")]
pub(super) struct Role {
    /// The cluster and the oid in it: they survive a rename, and no other role ever has both.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) can_log_in: bool,
    pub(super) is_expired: bool,
    /// `None` if the role has no password, or rekey may not read its verifier.
    pub(super) verifier: Option<String>,
    pub(super) stamp: Stamp,
    /// Whether rekey itself signs in with it.
    pub(super) is_own: bool,
    /// Whether it is privileged, as `role` defines it: its password is worth as much as the server.
    pub(super) is_privileged: bool,
}

impl Role {
    /// Reads a row of [`role`].
    pub(super) fn read(row: &SimpleQueryRow, rights: Rights) -> Result<Self, Fault> {
        let verifier = column(row, 4)?;
        Ok(Self {
            id: stable_id(rights, oid(row)?),
            name: value(row, 1)?.to_owned(),
            can_log_in: is_true(row, 2)?,
            is_expired: is_true(row, 3)?,
            verifier: verifier.map(str::to_owned),
            stamp: if rights.reads { stamp(verifier) } else { Stamp::default() },
            is_own: is_true(row, 5)?,
            is_privileged: is_true(row, 6)?,
        })
    }
}

/// Reads the first column.
fn oid(row: &SimpleQueryRow) -> Result<u32, Fault> {
    value(row, 0)?.parse().map_err(|_| unexpected())
}

fn stable_id(rights: Rights, oid: u32) -> String {
    format!("{}/{oid}", rights.cluster)
}

/// The SHA-256 of a verifier, in hexadecimal: it shows a change and reveals nothing else.
pub(super) fn stamp(verifier: Option<&str>) -> Stamp {
    let hash = digest::digest(&digest::SHA256, verifier.unwrap_or_default().as_bytes());
    Stamp(hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Reads an account and its oid from a row of [`list`].
pub(super) fn listed(row: &SimpleQueryRow, rights: Rights) -> Result<(u32, Listed), Fault> {
    let (oid, disabled) = (oid(row)?, is_true(row, 2)?);
    let stable_id = Some(stable_id(rights, oid));
    Ok((oid, Listed { stable_id, disabled, ..named(value(row, 1)?) }))
}

/// The part of a listed account that follows from its name.
pub(super) fn named(name: &str) -> Listed {
    let mut attributes = Map::new();
    attributes.insert("rolname".to_owned(), Value::from(name));
    Listed {
        native_identity: name.to_owned(),
        stable_id: None,
        name: name.to_owned(),
        attributes,
        disabled: false,
        locked: false,
    }
}
