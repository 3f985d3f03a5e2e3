//! Numbered schema changes, each applied once, in one transaction.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Error, Result, Tx};
use crate::model::column::from_row;

struct Migration {
    number: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        sqlite: include_str!("../../migrations/sqlite/0001_first.sql"),
        postgres: include_str!("../../migrations/postgres/0001_first.sql"),
    },
    Migration {
        number: 2,
        sqlite: include_str!("../../migrations/sqlite/0002_audit.sql"),
        postgres: include_str!("../../migrations/postgres/0002_audit.sql"),
    },
    Migration {
        number: 3,
        sqlite: include_str!("../../migrations/sqlite/0003_stable_ids.sql"),
        postgres: include_str!("../../migrations/postgres/0003_stable_ids.sql"),
    },
    Migration {
        number: 4,
        sqlite: include_str!("../../migrations/sqlite/0004_audit_personal.sql"),
        postgres: include_str!("../../migrations/postgres/0004_audit_personal.sql"),
    },
    Migration {
        number: 5,
        sqlite: include_str!("../../migrations/sqlite/0005_sign_ins.sql"),
        postgres: include_str!("../../migrations/postgres/0005_sign_ins.sql"),
    },
    Migration {
        number: 6,
        sqlite: include_str!("../../migrations/sqlite/0006_lists.sql"),
        postgres: include_str!("../../migrations/postgres/0006_lists.sql"),
    },
    Migration {
        number: 7,
        sqlite: include_str!("../../migrations/sqlite/0007_source_sets.sql"),
        postgres: include_str!("../../migrations/postgres/0007_source_sets.sql"),
    },
    Migration {
        number: 8,
        sqlite: include_str!("../../migrations/sqlite/0008_removed_accounts.sql"),
        postgres: include_str!("../../migrations/postgres/0008_removed_accounts.sql"),
    },
];

struct Applied {
    number: i64,
    digest: String,
}
from_row!(Applied { number, digest });

/// Applies the schema changes that are missing. Fails if the store was written by a newer version,
/// or if an applied schema change differs from this build's.
pub(super) fn run(tx: &mut Tx<'_>) -> Result<()> {
    tx.script("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY NOT NULL, digest TEXT NOT NULL)")?;
    if tx.is_postgres() {
        // The lock makes nodes that start at the same time take turns.
        tx.script("LOCK TABLE migration IN EXCLUSIVE MODE")?;
        // A schema change of a large store may take longer than the limit of 30 s for other
        // statements.
        tx.script("SET LOCAL statement_timeout = 0")?;
    }
    let applied: Vec<Applied> =
        tx.all("SELECT number, digest FROM migration ORDER BY number", &[])?;
    for known in &applied {
        let ours = MIGRATIONS.iter().find(|ours| ours.number == known.number).ok_or_else(|| {
            Error::Open(format!(
                "the store was written by a newer rekey (schema {}): start that version, or restore a backup",
                known.number
            ))
        })?;
        if digest(ours.text(tx)) != known.digest {
            return Err(Error::Open(format!(
                "schema change {} in the store differs from this build's: start the build that wrote it",
                known.number
            )));
        }
    }
    for migration in MIGRATIONS.iter().skip(applied.len()) {
        let text = migration.text(tx);
        tx.script(text)?;
        let sql = "INSERT INTO migration (number, digest) VALUES ($1, $2)";
        tx.run_one(sql, &[&migration.number, &digest(text)])?;
    }
    Ok(())
}

impl Migration {
    fn text(&self, tx: &Tx<'_>) -> &'static str {
        if tx.is_postgres() { self.postgres } else { self.sqlite }
    }
}

fn digest(text: &str) -> String {
    BASE64_STANDARD.encode(rekey_vault::sha256(text.as_bytes()))
}

/// The SQL texts of the schema, SQLite's and PostgreSQL's, for the test that keeps them equal.
pub fn schema() -> Vec<(&'static str, &'static str)> {
    MIGRATIONS.iter().map(|migration| (migration.sqlite, migration.postgres)).collect()
}
