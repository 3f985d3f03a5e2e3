//! Sources.

use super::{Result, Tx};
use crate::{id::SourceId, identity::name_key, source::Source};

const COLUMNS: &str =
    "id, name, description, connector, owner_id, features, connector_attributes, extra, policy_id,
     deadline, version, healthy, status, created, modified";

impl Tx<'_> {
    /// A source by its id.
    pub fn source(&mut self, id: &SourceId) -> Result<Option<Source>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM source WHERE id = $1"), &[id])
    }

    /// A source by the name people read.
    pub fn source_named(&mut self, name: &str) -> Result<Option<Source>> {
        let sql = format!("SELECT {COLUMNS} FROM source WHERE name_key = $1");
        self.maybe(&sql, &[&name_key(name)])
    }

    /// All sources by name.
    pub fn sources(&mut self) -> Result<Vec<Source>> {
        self.all(&format!("SELECT {COLUMNS} FROM source ORDER BY name_key"), &[])
    }

    /// Adds a source.
    pub fn insert_source(&mut self, source: &Source) -> Result<()> {
        let sql = "INSERT INTO source (id, name, name_key, description, connector, owner_id, features,
                       connector_attributes, extra, policy_id, deadline, version, healthy, status, created, modified)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
        self.run_one(
            sql,
            &[
                &source.id,
                &source.name,
                &name_key(&source.name),
                &source.description,
                &source.connector,
                &source.owner_id,
                &source.features,
                &source.connector_attributes,
                &source.extra,
                &source.policy_id,
                &source.deadline,
                &source.version,
                &source.healthy,
                &source.status,
                &source.created,
                &source.modified,
            ],
        )
    }

    /// Keeps what may change of a source.
    pub fn update_source(&mut self, source: &Source) -> Result<()> {
        let sql = "UPDATE source SET name = $2, name_key = $3, description = $4, owner_id = $5, features = $6,
                       connector_attributes = $7, extra = $8, policy_id = $9, deadline = $10, version = $11,
                       healthy = $12, status = $13, modified = $14 WHERE id = $1";
        self.run_one(
            sql,
            &[
                &source.id,
                &source.name,
                &name_key(&source.name),
                &source.description,
                &source.owner_id,
                &source.features,
                &source.connector_attributes,
                &source.extra,
                &source.policy_id,
                &source.deadline,
                &source.version,
                &source.healthy,
                &source.status,
                &source.modified,
            ],
        )
    }

    /// Removes a source with its accounts, keys and verifiers.
    pub fn remove_source(&mut self, id: &SourceId) -> Result<()> {
        for table in ["account", "source_key", "builtin_password"] {
            self.run(&format!("DELETE FROM {table} WHERE source_id = $1"), &[id])?;
        }
        self.run_one("DELETE FROM source WHERE id = $1", &[id])
    }
}
