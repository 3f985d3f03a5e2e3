//! `rekey doctor` reports each problem with its remedy, and nothing else.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{
    cli::{Place, Server},
    site::postgres_url,
};

/// A rekey to be examined.
struct Patient {
    place: Place,
    url: Option<String>,
    listen: String,
}

impl Patient {
    fn new(url: Option<String>) -> Self {
        let patient = Self { place: Place::new(), url, listen: "127.0.0.1:0".into() };
        assert!(patient.command(&["init"]).output().unwrap().status.success());
        patient
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.place.command(arguments);
        command.env("REKEY_SERVER__LISTEN", &self.listen);
        if let Some(url) = &self.url {
            command.env("REKEY_STORE__URL", url);
        }
        command
    }

    /// Runs `doctor`; returns the exit code and the checks.
    fn examined(&self) -> (i32, Vec<Value>) {
        let output = self.command(&["doctor", "--json"]).output().unwrap();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let code = output.status.code().unwrap();
        assert_eq!(report["ok"], code == 0, "{report}");
        let mut checks = report["checks"].as_array().unwrap().clone();
        // Swap and locked memory depend on the machine and the user, not on rekey.
        checks.retain(|check| check["subject"] != "swap");
        (code, checks)
    }

    /// Asserts that only the check of this subject has this verdict instead of `ok`, and that its
    /// finding contains `says`.
    fn assert_only(&self, verdict: &str, subject: &str, says: &str) {
        let (code, checks) = self.examined();
        assert_eq!(code, i32::from(verdict == "fail"), "{checks:?}");
        let found: Vec<_> = checks.iter().filter(|check| check["verdict"] != "ok").collect();
        let told = |check: &Value| check["finding"].as_str().unwrap().contains(says);
        assert!(
            found.len() == 1
                && found[0]["subject"] == subject
                && found[0]["verdict"] == verdict
                && told(found[0]),
            "{verdict} {subject} {says}: {checks:?}"
        );
    }

    fn assert_well(&self) {
        let (code, checks) = self.examined();
        assert!(code == 0 && checks.iter().all(|check| check["verdict"] == "ok"), "{checks:?}");
    }

    async fn sql(&self, sql: &str) {
        if let Some(url) = &self.url {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
        } else {
            let file = self.place.path("rekey-data/rekey.db");
            rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
        }
    }
}

/// An open change whose deadline is long past.
const STUCK: &str = "INSERT INTO password_change (seq, id, digest, caller, identity_id, source_id,
        account_id, key_id, state, errors, attempt, due, deadline, created)
    VALUES (1, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 0, '[]', 0, 1, 1, 1)";

async fn what_ails_the_store_is_told(url: Option<String>) {
    let patient = Patient::new(url);
    patient.assert_well();
    let output = patient.command(&["doctor"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "ok    settings            they can be used",
        "ok    queue               every change has ended",
        "ok    source IdentityNow  it answers and takes rekey's credentials",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }

    let stuck = if patient.url.is_some() {
        STUCK.replacen("'x', 'x', 'x'", "'x', 'x'::bytea, 'x'", 1)
    } else {
        STUCK.replacen("'x', 'x', 'x'", "'x', x'00', 'x'", 1)
    };
    patient.sql(&stuck).await;
    patient.assert_only("fail", "queue", "1 changes have not ended 30 s after their deadline");
    patient.sql("DELETE FROM password_change").await;

    patient.sql("UPDATE audit SET actor = 'nobody' WHERE seq = 3").await;
    patient.assert_only("fail", "audit", "run `rekey audit verify`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ails_the_store_is_told_on_sqlite() {
    what_ails_the_store_is_told(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ails_the_store_is_told_on_postgres() {
    if let Some(url) = postgres_url().await {
        what_ails_the_store_is_told(Some(url)).await;
    }
}

#[test]
fn what_ails_the_machine_and_the_sources_is_told() {
    let mut patient = Patient::new(None);
    let key = patient.place.path("rekey-data/master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, checks) = patient.examined();
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] == "fail").collect();
    assert_eq!((code, failed.len()), (1, 2), "the key, and the store it opens: {checks:?}");
    assert!(failed[0]["finding"].as_str().unwrap().ends_with("chmod 600 rekey-data/master.key"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let folder = patient.place.path("rekey-data");
    for (mode, verdict) in [(0o777, "fail"), (0o720, "fail"), (0o755, "warn"), (0o710, "warn")] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let (code, checks) = patient.examined();
        let found = checks.iter().find(|check| check["subject"] == "folder").unwrap();
        assert_eq!((&found["verdict"], code), (&verdict.into(), i32::from(verdict == "fail")));
        assert!(found["finding"].as_str().unwrap().ends_with("chmod 700 rekey-data"), "{found}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();

    // The address is first free, then used by rekey, then used by another program.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    patient.listen = free.local_addr().unwrap().to_string();
    drop(free);
    patient.assert_only("warn", "address", "no rekey serves here: start `rekey serve`");
    let server = Server::start(patient.command(&["serve"]));
    patient.assert_well();
    let file = "sources: [{name: Books, connector: ldap, owner: admin, connectorAttributes: {host: 127.0.0.1,
        port: 1, tls: none, allowInsecure: true, bindDn: cn=rekey, bindPassword: hush, baseDn: dc=example}}]";
    fs::write(patient.place.path("site.yaml"), file).unwrap();
    let applied = patient.command(&["apply", "-f", "site.yaml"]).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    patient.assert_only("fail", "source Books", "127.0.0.1:1 cannot be reached");
    fs::write(patient.place.path("site.yaml"), "sources: []").unwrap();
    let applied = patient.command(&["apply", "--prune", "-f", "site.yaml"]).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    patient.assert_well();
    server.stop();
    let other = TcpListener::bind(&patient.listen).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = other.accept() {
            drop(stream);
        }
    });
    patient.assert_only("fail", "address", "is taken, and what is there does not answer as rekey");
}

#[test]
fn without_settings_or_a_store_it_says_what_to_do_first() {
    let place = Place::new();
    let output = place.command(&["doctor"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("there is no store rekey-data/rekey.db yet"), "{said}");
    assert!(!place.path("rekey-data").exists(), "nothing is made");
    fs::write(place.path("rekey.toml"), "[server]\nlistn = \"x\"\n").unwrap();
    let output = place.command(&["doctor"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("fail  settings    rekey.toml line 2: there is no setting"), "{said}");
}
