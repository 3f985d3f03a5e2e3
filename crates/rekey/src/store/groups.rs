//! Sync groups.

use super::{Result, Tx};
use crate::model::{
    column::One,
    id::{SourceId, SyncGroupId},
    identity::name_key,
    sync_group::SyncGroup,
};

impl Tx<'_> {
    /// The group a source is in.
    pub fn group_of(&mut self, source: &SourceId) -> Result<Option<SyncGroup>> {
        let sql = "SELECT g.id, g.name, g.policy_id, g.created, g.modified FROM sync_group g
                   JOIN sync_group_source s ON s.group_id = g.id WHERE s.source_id = $1";
        self.maybe(sql, &[source])
    }

    /// The sources of a group.
    pub fn group_sources(&mut self, group: &SyncGroupId) -> Result<Vec<SourceId>> {
        let sql = "SELECT source_id AS value FROM sync_group_source WHERE group_id = $1 ORDER BY source_id";
        Ok(self.all::<One<SourceId>>(sql, &[group])?.into_iter().map(|One(id)| id).collect())
    }

    /// All groups by name.
    pub fn groups(&mut self) -> Result<Vec<SyncGroup>> {
        self.all(
            "SELECT id, name, policy_id, created, modified FROM sync_group ORDER BY name_key",
            &[],
        )
    }

    /// Adds a group without sources.
    pub fn insert_group(&mut self, group: &SyncGroup) -> Result<()> {
        let sql = "INSERT INTO sync_group (id, name, name_key, policy_id, created, modified)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let SyncGroup { id, name, policy_id, created, modified } = group;
        self.run_one(sql, &[id, name, &name_key(name), policy_id, created, modified])
    }

    /// Stores a group's policy and time of modification.
    pub fn update_group(&mut self, group: &SyncGroup) -> Result<()> {
        let sql = "UPDATE sync_group SET policy_id = $2, modified = $3 WHERE id = $1";
        self.run_one(sql, &[&group.id, &group.policy_id, &group.modified])
    }

    /// Makes exactly these sources the members of a group.
    pub fn set_group_sources(&mut self, group: &SyncGroupId, sources: &[SourceId]) -> Result<()> {
        self.run("DELETE FROM sync_group_source WHERE group_id = $1", &[group])?;
        for source in sources {
            let sql = "INSERT INTO sync_group_source (source_id, group_id) VALUES ($1, $2)";
            self.run_one(sql, &[source, group])?;
        }
        Ok(())
    }

    /// A group by its id.
    pub fn group(&mut self, id: &SyncGroupId) -> Result<Option<SyncGroup>> {
        let sql = "SELECT id, name, policy_id, created, modified FROM sync_group WHERE id = $1";
        self.maybe(sql, &[id])
    }

    /// Removes a group and its memberships. The sources themselves do not change.
    pub fn remove_group(&mut self, id: &SyncGroupId) -> Result<()> {
        self.run("DELETE FROM sync_group_source WHERE group_id = $1", &[id])?;
        self.run_one("DELETE FROM sync_group WHERE id = $1", &[id])
    }
}
