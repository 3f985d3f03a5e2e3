//! Stores of earlier schemas can be opened, and data that they lack is collected before it is used.
//!
//! `tests/fixtures` has a store of each earlier schema for both databases. `make.py` there creates
//! them; every schema change adds the stores of the schema before it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rekey::{
    App,
    account::correlation::Correlator,
    config::Config,
    model::{account::Account, time::Clock},
    source::{
        aggregation::{confirm_waiting, settle},
        seen::Seen,
    },
    store::{Store, Tx},
};
use rekey_connectors::Listed;
use rekey_vault::{Kek, Sealer};
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::{
    quiet::{Quiet, keep_all, quiet_on_both_stores},
    site::postgres_url,
};

quiet_on_both_stores!(a_newer_store_is_refused, roles_wait_with_bare_oids);

/// The number of the newest schema change in each fixture.
const FIXTURES: &[&str] = &["0002"];

struct Old {
    app: App,
    _folder: TempDir,
}

impl Old {
    /// Opens the store that an earlier build left at `url`.
    async fn open(url: &str, folder: TempDir) -> Self {
        let key = folder.path().join("master.key");
        fs::write(&key, format!("{}\n", "0".repeat(64))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let clock = Clock::default();
        let store = Store::open(url, clock.clone()).await.unwrap();
        let sealer = Sealer::new(Kek::load(&key).unwrap());
        let app = App::new(Config::default(), store, sealer, clock).await.unwrap();
        Self { app, _folder: folder }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Tx<'_>) -> Result<T, rekey::Error> + Send + 'static,
    ) -> T {
        self.app.store.write(work).await.unwrap()
    }

    async fn accounts(&self) -> Vec<Account> {
        self.write(|tx| {
            let source = tx.source_named("Directory")?.unwrap();
            Ok(tx.accounts_after(&source.id, "", 100)?)
        })
        .await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.write(move |tx| Ok(tx.count(sql)?)).await
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    for schema in FIXTURES {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rekey.db");
        let database = rusqlite::Connection::open(&file).unwrap();
        database.execute_batch(&fixture(&format!("{schema}.sqlite.sql"))).unwrap();
        drop(database);
        check(Old::open(&file.display().to_string(), folder).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    for schema in FIXTURES {
        let Some(url) = postgres_url().await else { return };
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(&fixture(&format!("{schema}.postgres.sql"))).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        check(Old::open(&url, tempfile::tempdir().unwrap()).await).await;
    }
}

/// A build must refuse the store of a newer one.
async fn a_newer_store_is_refused(site: Quiet) {
    let newer = "INSERT INTO migration (number, digest) VALUES (999, '')";
    site.write(move |tx| Ok(tx.run(newer, &[])?)).await;
    let refused = Store::open(&site.url, Clock::default()).await.err().unwrap().to_string();
    assert!(
        refused.contains("the store was written by a newer rekey (schema 999): start that version"),
        "{refused}"
    );
}

/// Ids of PostgreSQL roles did not include their cluster: such accounts wait for an aggregation,
/// and keep their owners.
async fn roles_wait_with_bare_oids(site: Quiet) {
    let abby = site.person("abby", &[]).await;
    for (name, kind) in [("Roles", "postgresql"), ("Entries", "ldap")] {
        let source = site.source(name, kind, json!({"host": "127.0.0.1", "port": 1})).await;
        let now = site.app.clock.now();
        let account = Account {
            identity_id: Some(abby.clone()),
            stable_id: Some("16390".into()),
            manually_correlated: true,
            ..Account::new(source, "abby", now)
        };
        site.write(move |tx| Ok(tx.insert_account(&account)?)).await;
    }
    site.write(|tx| {
        tx.run("DROP TABLE account_removed", &[])?;
        Ok(tx.run("DELETE FROM migration WHERE number = 8", &[])?)
    })
    .await;
    Store::open(&site.url, Clock::default()).await.unwrap();

    let find = async |name: &'static str| {
        site.write(move |tx| {
            let source = tx.source_named(name)?.unwrap();
            Ok((tx.account_on(&source.id, "abby")?.unwrap(), source))
        })
        .await
    };
    let (entry, _) = find("Entries").await;
    assert_eq!((entry.stable_id.as_deref(), entry.generation), (Some("16390"), 1));
    let (role, source) = find("Roles").await;
    assert_eq!((role.stable_id.as_deref(), role.generation), (None, 0));
    confirm_waiting(&site.app).await.unwrap();
    assert_eq!(site.count("SELECT COUNT(*) AS value FROM job WHERE completed IS NULL").await, 1);

    let listed = Listed {
        native_identity: "abby".into(),
        stable_id: Some("7714033002793194364/16390".into()),
        name: "abby".into(),
        attributes: Map::new(),
        disabled: false,
        locked: false,
    };
    site.write(move |tx| {
        let correlator = Correlator::new(tx, &source)?;
        keep_all(tx, &source, &correlator, std::slice::from_ref(&listed))
    })
    .await;
    let (confirmed, _) = find("Roles").await;
    assert_eq!(confirmed.id, role.id);
    assert_eq!(confirmed.identity_id, Some(abby));
    assert_eq!(confirmed.stable_id.as_deref(), Some("7714033002793194364/16390"));
    assert_eq!(confirmed.generation, 1);
}

async fn check(old: Old) {
    let verified = rekey::audit::verify::verify(&old.app.audit, None).await.unwrap();
    let wrong: Vec<_> = verified.findings.iter().map(|finding| &finding.what).collect();
    assert!(wrong.is_empty(), "the audit trail no longer verifies: {wrong:?}");

    // The change that was open stays in the queue of its sources.
    let waiting = "SELECT COUNT(*) AS value FROM password_change WHERE state = 0";
    assert_eq!(old.count(waiting).await, 1);
    let queued = "SELECT COUNT(*) AS value FROM password_change WHERE state = 0
        AND source_set LIKE '________________________________ ________________________________'";
    assert_eq!(old.count(queued).await, 1);

    // Accounts without a stable id keep their owners, and wait for an aggregation, which is
    // requested.
    let before = old.accounts().await;
    assert_eq!(before.len(), 6);
    assert!(before.iter().all(|account| account.stable_id.is_none() && account.generation == 0));
    assert_eq!(before.iter().filter(|account| account.identity_id.is_some()).count(), 5);
    confirm_waiting(&old.app).await.unwrap();
    assert_eq!(old.count("SELECT COUNT(*) AS value FROM job WHERE completed IS NULL").await, 1);

    let said = aggregated(&old).await;
    assert_eq!(said.len(), 2, "{said:?}");
    for account in old.accounts().await {
        assert!(account.stable_id.is_some());
        let loses = ["ceo", "ceo2", "desk", "nobody"].contains(&account.name.as_str());
        assert_eq!(account.identity_id.is_none(), loses, "{}", account.name);
        let has_reason = account.uncorrelated_because.is_some();
        assert_eq!(has_reason, loses && account.name != "nobody", "{}", account.name);
    }
    confirm_waiting(&old.app).await.unwrap();
    assert_eq!(old.count("SELECT COUNT(*) AS value FROM job WHERE completed IS NULL").await, 1);
}

/// Runs an aggregation that finds the same accounts, each with a stable id; returns its messages.
async fn aggregated(old: &Old) -> Vec<String> {
    let listed: Vec<_> = old
        .accounts()
        .await
        .into_iter()
        .enumerate()
        .map(|(number, account)| {
            let uid = if account.name == "ceo2" { "ceo" } else { &account.name };
            let mut attributes = Map::new();
            attributes.insert("uid".into(), json!(uid));
            Listed {
                native_identity: account.native_identity,
                stable_id: Some(format!("id-{number}")),
                name: account.name,
                attributes,
                disabled: false,
                locked: false,
            }
        })
        .collect();
    old.write(move |tx| {
        let source = tx.source_named("Directory")?.unwrap();
        let correlator = Correlator::new(tx, &source)?;
        let mut seen = Seen::default();
        for one in &listed {
            seen.add(&one.native_identity);
        }
        keep_all(tx, &source, &correlator, &listed)?;
        Ok(settle(tx, &source, &correlator, &seen, "", 100)?.1)
    })
    .await
}
