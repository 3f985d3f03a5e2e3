//! Stores of earlier schemas open, and what they could not know is found out before it is used.
//!
//! `tests/fixtures` keeps a store of each earlier schema in both databases; `make.py` there makes
//! them, and every schema change adds those of the schema before it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rekey::{
    App,
    account::Account,
    clock::Clock,
    config::Config,
    source::{
        aggregation::{Seen, confirm_waiting, keep, settle},
        correlation::Correlator,
    },
    store::{Store, Tx},
};
use rekey_connectors::Listed;
use rekey_vault::{Kek, Sealer};
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::site::postgres_url;

/// The newest schema change in each fixture.
const FIXTURES: &[&str] = &["0002"];

struct Old {
    app: App,
    _folder: TempDir,
}

impl Old {
    /// Opens what an earlier build left at `url`.
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

async fn check(old: Old) {
    let verified = rekey::audit::verify::verify(&old.app, None).await.unwrap();
    let wrong: Vec<_> = verified.findings.iter().map(|finding| &finding.what).collect();
    assert!(wrong.is_empty(), "the audit trail no longer verifies: {wrong:?}");

    // The change that was under way waits in the queue of its sources.
    let waiting = "SELECT COUNT(*) AS value FROM password_change WHERE state = 0";
    assert_eq!(old.count(waiting).await, 1);
    let queued = "SELECT COUNT(*) AS value FROM password_change WHERE state = 0
        AND source_set LIKE '________________________________ ________________________________'";
    assert_eq!(old.count(queued).await, 1);

    // Accounts without an id wait, with their people, for an aggregation that is asked for.
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

/// What an aggregation finds: the same accounts, each with its id now.
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
        keep(tx, &source, &correlator, &listed)?;
        Ok(settle(tx, &source, &correlator, &seen, "", 100)?.1)
    })
    .await
}
