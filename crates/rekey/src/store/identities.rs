//! People.

use super::{
    Asked, Listing, Page, Result, Tx,
    field::{Field, Kind, prefix},
    listing::InvalidListing,
};
use crate::model::{
    column::One,
    id::IdentityId,
    identity::{Identity, name_key},
};

pub(super) const COLUMNS: &str =
    "id, alias, name, email, capabilities, attributes, enabled, generation, created, modified";

impl Tx<'_> {
    /// A person by their id.
    pub fn identity(&mut self, id: &IdentityId) -> Result<Option<Identity>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM identity WHERE id = $1"), &[id])
    }

    /// A person by their login name.
    pub fn identity_with_alias(&mut self, alias: &str) -> Result<Option<Identity>> {
        let sql = format!("SELECT {COLUMNS} FROM identity WHERE alias_key = $1");
        self.maybe(&sql, &[&name_key(alias)])
    }

    /// The number of changes of the password that this person signs in with.
    pub fn sign_in_generation(&mut self, id: &IdentityId) -> Result<i64> {
        let sql = "SELECT sign_in_generation AS value FROM identity WHERE id = $1";
        let One(generation) = self.one(sql, &[id])?;
        Ok(generation)
    }

    /// The people with this `uid` attribute; more than one is ambiguous.
    pub fn identities_with_uid(&mut self, uid: &str) -> Result<Vec<Identity>> {
        let sql = format!("SELECT {COLUMNS} FROM identity WHERE uid_key = $1 ORDER BY id");
        self.all(&sql, &[&name_key(uid)])
    }

    /// All people, by login name.
    pub fn identities(&mut self) -> Result<Vec<Identity>> {
        self.all(&format!("SELECT {COLUMNS} FROM identity ORDER BY alias_key"), &[])
    }

    /// The people that a listing requests.
    pub fn identities_page(&mut self, listing: &Listing) -> Result<Page<Identity>> {
        self.page(COLUMNS, "identity", listing)
    }

    /// Adds a person.
    pub fn insert_identity(&mut self, who: &Identity) -> Result<()> {
        let sql = "INSERT INTO identity (id, alias, alias_key, uid_key, name, email, capabilities, attributes,
                       enabled, generation, created, modified, alias_prefix, name_prefix, email_prefix)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        self.run_one(
            sql,
            &[
                &who.id,
                &who.alias,
                &name_key(&who.alias),
                &uid_key(who),
                &who.name,
                &who.email,
                &who.capabilities,
                &who.attributes,
                &who.enabled,
                &who.generation,
                &who.created,
                &who.modified,
                &prefix(&who.alias),
                &prefix(&who.name),
                &who.email.as_deref().map(prefix),
            ],
        )
    }

    /// Stores the mutable columns of a person.
    pub fn update_identity(&mut self, who: &Identity) -> Result<()> {
        let sql = "UPDATE identity SET uid_key = $2, name = $3, email = $4, capabilities = $5, attributes = $6,
                       enabled = $7, generation = $8, modified = $9, name_prefix = $10, email_prefix = $11
                   WHERE id = $1";
        self.run_one(
            sql,
            &[
                &who.id,
                &uid_key(who),
                &who.name,
                &who.email,
                &who.capabilities,
                &who.attributes,
                &who.enabled,
                &who.generation,
                &who.modified,
                &prefix(&who.name),
                &who.email.as_deref().map(prefix),
            ],
        )
    }

    /// Removes a person with their tokens. Their accounts on connected sources remain without an
    /// owner; those on built-in sources are removed.
    pub fn remove_identity(&mut self, who: &Identity) -> Result<()> {
        let built_in = "source_id IN (SELECT id FROM source WHERE connector = $2)";
        let connector = crate::model::source::BUILT_IN;
        let sql = format!("DELETE FROM builtin_password WHERE native_identity = $1 AND {built_in}");
        self.run(&sql, &[&who.alias, &connector])?;
        let sql = format!("DELETE FROM account WHERE identity_id = $1 AND {built_in}");
        self.run(&sql, &[&who.id, &connector])?;
        self.run("UPDATE account SET identity_id = NULL WHERE identity_id = $1", &[&who.id])?;
        self.run("UPDATE account SET claims = NULL WHERE claims = $1", &[&who.id])?;
        self.run("DELETE FROM client WHERE identity_id = $1", &[&who.id])?;
        self.run_one("DELETE FROM identity WHERE id = $1", &[&who.id])
    }
}

impl Listing {
    /// A listing of people (docs/contract.md#identities).
    pub fn of_identities(asked: &Asked) -> std::result::Result<Self, InvalidListing> {
        const STATUS: &str = "CASE WHEN enabled THEN 'ACTIVE' ELSE 'DISABLED' END";
        let fields = [
            Field::new("id", "id", Kind::Id).filter("eq in").sort(),
            Field::new("name", "name", Kind::Text).prefix("name_prefix").filter("eq sw").sort(),
            Field::new("alias", "alias", Kind::Text).prefix("alias_prefix").filter("eq sw").sort(),
            Field::new("email", "email", Kind::Text).prefix("email_prefix").filter("eq sw").sort(),
            Field::new("firstname", "attributes", Kind::Member).filter("eq sw"),
            Field::new("lastname", "attributes", Kind::Member).filter("eq sw"),
            Field::new("cloudStatus", STATUS, Kind::Text).filter("eq").sort(),
            Field::new("processingState", "'OK'", Kind::Text).filter("eq"),
            Field::new("correlated", "(1 = 1)", Kind::Boolean).filter("eq"),
            Field::new("protected", "(1 = 0)", Kind::Boolean).filter("eq"),
        ];
        Self::new(&fields, asked, "alias_key")
    }
}

fn uid_key(who: &Identity) -> Option<String> {
    who.attribute("uid").map(|uid| name_key(&uid))
}
