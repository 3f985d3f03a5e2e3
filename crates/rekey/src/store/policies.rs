//! Password policies.

use rekey_vault::Policy;

use super::{Result, Tx};
use crate::model::{
    column::{Json, One},
    id::{PolicyId, SourceId, SyncGroupId},
    identity::name_key,
    policy::PasswordPolicy,
};

const COLUMNS: &str = "id, name, description, members, default_policy, created, modified";

/// An SQL subquery for the members of the policy in force on a source. The sort puts the default
/// policy last, since `false` sorts before `true` on both databases.
pub(super) fn in_force(source: &str) -> String {
    format!(
        "SELECT p.members FROM password_policy p WHERE p.default_policy OR p.id = COALESCE(
             (SELECT g.policy_id FROM sync_group g JOIN sync_group_source m ON m.group_id = g.id
              WHERE m.source_id = {source}),
             (SELECT s.policy_id FROM source s WHERE s.id = {source}))
         ORDER BY p.default_policy LIMIT 1"
    )
}

impl Tx<'_> {
    /// A policy by its id.
    pub fn policy(&mut self, id: &PolicyId) -> Result<Option<PasswordPolicy>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM password_policy WHERE id = $1"), &[id])
    }

    /// A policy by its name.
    pub fn policy_named(&mut self, name: &str) -> Result<Option<PasswordPolicy>> {
        let sql = format!("SELECT {COLUMNS} FROM password_policy WHERE name_key = $1");
        self.maybe(&sql, &[&name_key(name)])
    }

    /// The members of the policy in force on a source: its sync group's, else its own, else the
    /// tenant's default.
    pub fn policy_in_force(&mut self, source: &SourceId) -> Result<Option<Json<Policy>>> {
        let sql = format!("SELECT ({}) AS value", in_force("$1"));
        let One(members) = self.one::<One<Option<_>>>(&sql, &[source])?;
        Ok(members)
    }

    /// The tenant's default policy.
    pub fn default_policy(&mut self) -> Result<Option<PasswordPolicy>> {
        let sql = format!("SELECT {COLUMNS} FROM password_policy WHERE default_policy = $1");
        self.maybe(&sql, &[&true])
    }

    /// All policies by name.
    pub fn policies(&mut self) -> Result<Vec<PasswordPolicy>> {
        self.all(&format!("SELECT {COLUMNS} FROM password_policy ORDER BY name_key"), &[])
    }

    /// Adds a policy.
    pub fn insert_policy(&mut self, policy: &PasswordPolicy) -> Result<()> {
        let sql = "INSERT INTO password_policy (id, name, name_key, description, members, default_policy, created, modified)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let PasswordPolicy { id, name, description, members, default_policy, created, modified } =
            policy;
        self.run_one(
            sql,
            &[id, name, &name_key(name), description, members, default_policy, created, modified],
        )
    }

    /// Stores the mutable columns of a policy.
    pub fn update_policy(&mut self, policy: &PasswordPolicy) -> Result<()> {
        let sql =
            "UPDATE password_policy SET name = $2, name_key = $3, description = $4, members = $5,
                       default_policy = $6, modified = $7 WHERE id = $1";
        let PasswordPolicy { id, name, description, members, default_policy, created: _, modified } =
            policy;
        self.run_one(
            sql,
            &[id, name, &name_key(name), description, members, default_policy, modified],
        )
    }

    /// Removes a policy.
    pub fn remove_policy(&mut self, id: &PolicyId) -> Result<()> {
        self.run_one("DELETE FROM password_policy WHERE id = $1", &[id])
    }

    /// Makes all other policies no longer the default. Returns how many of them were.
    pub fn clear_other_default_policies(&mut self, id: &PolicyId) -> Result<u64> {
        let sql =
            "UPDATE password_policy SET default_policy = $2 WHERE id <> $1 AND default_policy = $3";
        self.run(sql, &[id, &false, &true])
    }

    /// The sources whose own policy this is.
    pub fn sources_with_policy(&mut self, id: &PolicyId) -> Result<Vec<SourceId>> {
        let sql = "SELECT id AS value FROM source WHERE policy_id = $1 ORDER BY id";
        Ok(self.all::<One<SourceId>>(sql, &[id])?.into_iter().map(|One(id)| id).collect())
    }

    /// The sync groups whose policy this is.
    pub fn groups_with_policy(&mut self, id: &PolicyId) -> Result<Vec<SyncGroupId>> {
        let sql = "SELECT id AS value FROM sync_group WHERE policy_id = $1 ORDER BY id";
        Ok(self.all::<One<SyncGroupId>>(sql, &[id])?.into_iter().map(|One(id)| id).collect())
    }
}
