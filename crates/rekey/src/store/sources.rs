//! Sources.

use super::{
    Asked, Listing, Page, Result, Tx,
    field::{Field, Kind, NOTHING},
    listing::InvalidListing,
};
use crate::model::{
    column::One,
    id::{IdentityId, PolicyId, SourceId},
    identity::name_key,
    source::{IDENTITY_NOW, Source},
    time::Micros,
};
use rekey_connectors::Entry;

pub(super) const COLUMNS: &str =
    "id, name, description, connector, owner_id, features, connector_attributes, extra, policy_id,
     deadline, version, generation, healthy, status, created, modified";

/// A source with the names of the objects it refers to.
#[derive(Clone, Debug)]
pub struct DescribedSource {
    /// The source.
    pub source: Source,
    /// Its owner's name; none if the owner no longer exists.
    pub owner: Option<String>,
    /// Its own policy, by id and name.
    pub policy: Option<(PolicyId, String)>,
}

impl Tx<'_> {
    /// A source by its id.
    pub fn source(&mut self, id: &SourceId) -> Result<Option<Source>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM source WHERE id = $1"), &[id])
    }

    /// A source by its name.
    pub fn source_named(&mut self, name: &str) -> Result<Option<Source>> {
        let sql = format!("SELECT {COLUMNS} FROM source WHERE name_key = $1");
        self.maybe(&sql, &[&name_key(name)])
    }

    /// A source by its name, if this person has an account there. If not, the row is not read, so
    /// that the response time does not reveal whether the source exists.
    pub fn source_named_with(
        &mut self,
        name: &str,
        identity: &IdentityId,
    ) -> Result<Option<Source>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM source WHERE name_key = $1 AND EXISTS
             (SELECT 1 FROM account WHERE source_id = source.id AND identity_id = $2)"
        );
        self.maybe(&sql, &[&name_key(name), identity])
    }

    /// All sources by name.
    pub fn sources(&mut self) -> Result<Vec<Source>> {
        self.all(&format!("SELECT {COLUMNS} FROM source ORDER BY name_key"), &[])
    }

    /// The number of sources that this person owns.
    pub fn sources_of_owner(&mut self, owner: &IdentityId) -> Result<i64> {
        let sql = "SELECT count(*) AS value FROM source WHERE owner_id = $1";
        self.one(sql, &[owner]).map(|One(count)| count)
    }

    /// The number of sources that this principal created.
    pub fn sources_of_creator(&mut self, creator: &str) -> Result<i64> {
        let sql = "SELECT count(*) AS value FROM source WHERE creator = $1";
        self.one(sql, &[&creator]).map(|One(count)| count)
    }

    /// Adds a source, with the principal that created it.
    pub fn insert_source(&mut self, source: &Source, creator: &str) -> Result<()> {
        let sql = "INSERT INTO source (id, name, name_key, description, connector, owner_id, features,
                       connector_attributes, extra, policy_id, deadline, version, generation, healthy,
                       status, created, modified, creator)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
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
                &source.generation,
                &source.healthy,
                &source.status,
                &source.created,
                &source.modified,
                &creator,
            ],
        )
    }

    /// Stores the mutable columns of a source.
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

    /// The sources with accounts of an older correlation generation for which no job of this kind
    /// is unfinished, and for which `launcher` has created none since `before`.
    pub fn sources_to_confirm(
        &mut self,
        kind: &str,
        launcher: &str,
        before: Micros,
    ) -> Result<Vec<SourceId>> {
        let sql = "SELECT s.id AS value FROM source s
                   WHERE s.connector <> $4 AND s.generation > COALESCE(
                           (SELECT MIN(a.generation) FROM account a WHERE a.source_id = s.id), s.generation)
                     AND NOT EXISTS (SELECT 1 FROM job j WHERE j.source_id = s.id AND j.kind = $1
                           AND (j.completed IS NULL OR j.launcher = $2 AND j.created > $3))
                   ORDER BY s.id";
        let found = self.all::<One<SourceId>>(
            sql,
            &[&kind, &launcher, &before, &crate::model::source::BUILT_IN],
        )?;
        Ok(found.into_iter().map(|One(id)| id).collect())
    }

    /// Begins a new correlation generation: its accounts have to be confirmed again.
    pub fn raise_generation(&mut self, id: &SourceId) -> Result<()> {
        self.run_one("UPDATE source SET generation = generation + 1 WHERE id = $1", &[id])
    }

    /// Removes a source with its accounts, keys and verifiers.
    pub fn remove_source(&mut self, id: &SourceId) -> Result<()> {
        for table in ["account", "account_removed", "source_key", "builtin_password"] {
            self.run(&format!("DELETE FROM {table} WHERE source_id = $1"), &[id])?;
        }
        self.run_one("DELETE FROM source WHERE id = $1", &[id])
    }

    /// A source with the names of the objects it refers to.
    pub fn describe_source(&mut self, source: Source) -> Result<DescribedSource> {
        let owner = self.identity(&source.owner_id)?.map(|person| person.name);
        let policy = match &source.policy_id {
            Some(id) => self.policy(id)?.map(|policy| (policy.id, policy.name)),
            None => None,
        };
        Ok(DescribedSource { source, owner, policy })
    }

    /// The sources that a listing requests.
    pub fn sources_page(&mut self, listing: &Listing) -> Result<Page<Source>> {
        self.page(COLUMNS, "source", listing)
    }

    /// Stores the result of a check of one version of a source. It does not count as a
    /// modification. Returns false if the source has another version by now.
    pub fn set_source_health(
        &mut self,
        id: &SourceId,
        version: i64,
        healthy: bool,
        status: &str,
    ) -> Result<bool> {
        let sql = "UPDATE source SET healthy = $3, status = $4 WHERE id = $1 AND version = $2";
        Ok(self.run(sql, &[id, &version, &healthy, &status])? == 1)
    }

    /// Locks a version of a source until the end of the transaction. Returns false if the source
    /// has another version by now.
    pub fn hold_source(&mut self, id: &SourceId, version: i64) -> Result<bool> {
        // The update changes no value, but takes PostgreSQL's lock on the row.
        let sql = "UPDATE source SET version = version WHERE id = $1 AND version = $2";
        Ok(self.run(sql, &[id, &version])? == 1)
    }
}

impl Listing {
    /// A listing of sources (docs/contract.md#sources). It leaves out the source for sign-ins
    /// unless `with_identity_now` is set.
    pub fn of_sources(
        asked: &Asked,
        kinds: impl Iterator<Item = &'static Entry>,
        with_identity_now: bool,
    ) -> std::result::Result<Self, InvalidListing> {
        let all = "eq in ge gt le lt ne isnull sw";
        let display_name = display_name(kinds);
        let fields = [
            Field::new("id", "id", Kind::Id).filter(all).sort(),
            Field::new("name", "name", Kind::Text).filter("co eq in sw ge gt ne isnull").sort(),
            Field::new("type", display_name.clone(), Kind::Text)
                .filter("eq in ge gt ne isnull sw")
                .sort(),
            Field::new("owner.id", "owner_id", Kind::Id).filter(all).sort(),
            Field::new(
                "owner.name",
                "(SELECT i.name FROM identity i WHERE i.id = owner_id)",
                Kind::Text,
            )
            .sort(),
            Field::new("features", "features", Kind::List).filter("ca co"),
            Field::new("created", "created", Kind::Time)
                .filter("eq ge gt in le lt ne isnull sw")
                .sort(),
            Field::new("modified", "modified", Kind::Time)
                .filter("eq ge gt in le lt ne isnull sw")
                .sort(),
            Field::new("description", "description", Kind::Text).filter("eq sw").sort(),
            Field::new("authoritative", "(1 = 0)", Kind::Boolean).filter("eq ne isnull").sort(),
            Field::new("healthy", "healthy", Kind::Boolean).filter("isnull").sort(),
            Field::new("status", "status", Kind::Text).filter(all).sort(),
            Field::new("connectionType", "'direct'", Kind::Text)
                .filter("eq in ge gt le lt ne isnull sw")
                .sort(),
            Field::new("category", NOTHING, Kind::Text).filter("co eq ge gt in le lt ne sw"),
            Field::new("managementWorkgroup.id", NOTHING, Kind::Text).filter(all).sort(),
            Field::new("accountCorrelationConfig.id", NOTHING, Kind::Text).sort(),
            Field::new("accountCorrelationConfig.name", NOTHING, Kind::Text).sort(),
            Field::new("managerCorrelationRule.id", NOTHING, Kind::Text).sort(),
            Field::new("managerCorrelationRule.name", NOTHING, Kind::Text).sort(),
            Field::new("managerCorrelationRule.type", NOTHING, Kind::Text).sort(),
            Field::new("connectorName", display_name, Kind::Text)
                .filter("eq ge gt in ne isnull sw")
                .sort(),
        ];
        let listing = Self::new(&fields, asked, "name_key")?;
        Ok(if with_identity_now { listing } else { listing.without("name", IDENTITY_NOW) })
    }
}

/// An SQL expression for the display name of a source's connector.
fn display_name(kinds: impl Iterator<Item = &'static Entry>) -> String {
    let cases = kinds.map(|kind| {
        format!("WHEN '{}' THEN '{}'", kind.name, kind.display_name.replace('\'', "''"))
    });
    format!("CASE connector {} ELSE connector END", cases.collect::<Vec<_>>().join(" "))
}
