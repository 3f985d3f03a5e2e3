//! The audit trail: `rekey audit verify` must find and name every alteration made without rekey.

use std::{fs, process::Output};

use rekey::audit::{attempts_written, chain::Chainer};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use crate::{
    cli::Place,
    site::{Site, on_both_stores, postgres_url},
};

on_both_stores!(
    an_entry_is_shown_beside_a_running_server,
    what_is_done_is_recorded_with_its_origin,
);

/// A rekey whose store the test alters with SQL.
pub(crate) struct Trail {
    place: Place,
    /// The URL of a PostgreSQL store; `None` for a SQLite file.
    url: Option<String>,
}

impl Trail {
    /// Creates a trail of a dozen entries, with several signed checkpoints.
    pub(crate) fn new(url: Option<String>) -> Self {
        let trail = Self { place: Place::new(), url };
        trail.run(&["init"]);
        for name in ["a", "b", "c"] {
            trail.run(&["token", "create", "--name", name]);
        }
        trail.run(&["keys", "rotate", "--all"]);
        trail
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = self.place.command(arguments);
        if let Some(url) = &self.url {
            command.env("REKEY_STORE__URL", url);
        }
        command.output().unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `audit verify`; returns its exit code and its findings.
    pub(crate) fn verify(&self, more: &[&str]) -> (i32, Value) {
        let output = self.output(&[&["audit", "verify", "--json"], more].concat());
        let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), found)
    }

    pub(crate) fn assert_sound(&self, more: &[&str]) -> Value {
        let (code, found) = self.verify(more);
        assert_eq!((code, &found["ok"], &found["wrong"]), (0, &true.into(), &0.into()), "{found}");
        found
    }

    /// Copies the tables of the trail, for [`Trail::restore`].
    pub(crate) async fn keep(&self) {
        for table in TABLES {
            self.sql(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
        }
    }

    /// Replaces the tables of the trail by the copies.
    pub(crate) async fn restore(&self) {
        for table in TABLES {
            let sql =
                format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            self.sql(&sql).await;
        }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        if let Some(url) = &self.url {
            connected(url).await.batch_execute(sql).await.unwrap();
        } else {
            self.file().execute_batch(sql).unwrap();
        }
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match &self.url {
            Some(url) => connected(url).await.query_one(sql, &[]).await.unwrap().get(0),
            None => self.file().query_row(sql, [], |row| row.get(0)).unwrap(),
        }
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.place.path("rekey-data/rekey.db")).unwrap()
    }
}

async fn connected(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The SQL condition for the row at a position of the chain.
fn at(position: i64) -> String {
    format!("seq = (SELECT seq FROM audit_chain WHERE position = {position})")
}

/// SQL that deletes the end of the trail.
fn cut_rows(position: i64) -> String {
    format!(
        "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit_chain WHERE position >= {position});
         DELETE FROM audit_chain WHERE position >= {position}"
    )
}

/// SQL that deletes the signed checkpoints by which a shortened trail would be noticed.
fn cut_checkpoints(position: i64) -> String {
    format!("DELETE FROM audit_checkpoint WHERE size > {position}")
}

/// The tables of the trail.
const TABLES: [&str; 5] = ["audit", "audit_chain", "audit_checkpoint", "audit_personal", "setting"];
const COLUMNS: &str = "at, actor, action, object, detail, failure, origin, mac";

/// The alterations: each with its SQL, the positions of the expected findings (`None` for the trail
/// as a whole), and the kind of finding.
fn alterations() -> Vec<(&'static str, String, Vec<Option<i64>>, &'static str)> {
    let edit = |what: &str| format!("UPDATE audit SET {what} WHERE {}", at(3));
    vec![
        ("another actor", edit("actor = 'nobody'"), vec![Some(3)], "edited"),
        ("another action", edit("action = 'USER_UPDATE'"), vec![Some(3)], "edited"),
        ("another object", edit("object = 'x'"), vec![Some(3)], "edited"),
        ("another time", edit("at = at + 1"), vec![Some(3)], "edited"),
        ("another detail", edit("detail = '{}'"), vec![Some(3)], "edited"),
        ("another result", edit("failure = 'no'"), vec![Some(3)], "edited"),
        ("another origin", edit("origin = NULL"), vec![Some(3)], "edited"),
        ("no digest", edit("mac = NULL"), vec![Some(3)], "forged"),
        ("a row deleted", format!("DELETE FROM audit WHERE {}", at(3)), vec![Some(3)], "removed"),
        (
            "a row and its place deleted",
            format!("DELETE FROM audit WHERE {}; DELETE FROM audit_chain WHERE position = 3", at(3)),
            vec![Some(3)],
            "removed",
        ),
        (
            "two rows exchanged",
            format!(
                "UPDATE audit SET seq = 1000000 WHERE {};
                 UPDATE audit SET seq = (SELECT seq FROM audit_chain WHERE position = 3) WHERE {};
                 UPDATE audit SET seq = (SELECT seq FROM audit_chain WHERE position = 5) WHERE seq = 1000000",
                at(3),
                at(5)
            ),
            vec![Some(3), Some(5)],
            "reordered",
        ),
        (
            "two places exchanged",
            "UPDATE audit_chain SET position = -1 WHERE position = 3;
             UPDATE audit_chain SET position = 3 WHERE position = 5;
             UPDATE audit_chain SET position = 5 WHERE position = -1"
                .into(),
            vec![Some(3), Some(5)],
            "reordered",
        ),
        (
            "a row inserted",
            "INSERT INTO audit (at, actor, action, object, detail) VALUES (1, 'a', 'b', 'c', '{}')"
                .into(),
            vec![None],
            "inserted",
        ),
        (
            "a copy inserted",
            format!("INSERT INTO audit ({COLUMNS}) SELECT {COLUMNS} FROM audit WHERE {}", at(3)),
            vec![None],
            "inserted: a copy of the row at position 3",
        ),
        (
            "a checkpoint altered",
            "UPDATE audit_checkpoint SET note = replace(note, '\u{2014} rekey', '\u{2014} other')
             WHERE size = (SELECT min(size) FROM audit_checkpoint)"
                .into(),
            vec![None],
            "it has no signature by this installation's key",
        ),
        (
            "a checkpoint forged",
            "INSERT INTO audit_checkpoint (size, at, note) VALUES (1000000, 1, 'x')".into(),
            vec![None],
            "forged",
        ),
    ]
}

async fn alterations_are_named(url: Option<String>) {
    let trail = Trail::new(url);
    let entries = trail.assert_sound(&[])["entries"].as_i64().unwrap();
    assert!(entries > 10, "{entries}");
    trail.keep().await;
    for (name, sql, positions, what) in alterations() {
        trail.sql(&sql).await;
        let (code, found) = trail.verify(&[]);
        assert_eq!(code, 1, "{name}: {found}");
        for position in positions {
            let position = position.map_or(Value::Null, Value::from);
            let named = found["findings"].as_array().unwrap().iter().any(|finding| {
                finding["position"] == position && finding["what"].as_str().unwrap().contains(what)
            });
            assert!(named, "{name} at {position}: {found}");
        }
        trail.restore().await;
    }
    // The restored trail verifies: all findings were caused by the alterations.
    trail.assert_sound(&[]);
    trail.sql("UPDATE audit SET actor = 'nobody' WHERE seq = 4").await;
    let said = String::from_utf8(trail.output(&["audit", "verify"]).stdout).unwrap();
    assert!(said.contains(", row 4, 2") && said.contains(": edited: the row"), "{said}");
    assert!(said.ends_with("the trail was altered in 2 places\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alteration_is_named_on_sqlite() {
    alterations_are_named(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alteration_is_named_on_postgres() {
    if let Some(url) = postgres_url().await {
        alterations_are_named(Some(url)).await;
    }
}

/// The sequence number of each finding's row.
fn rows(found: &Value) -> Vec<&Value> {
    found["findings"].as_array().unwrap().iter().map(|finding| &finding["seq"]).collect()
}

async fn ends_are_named(url: Option<String>) {
    let trail = Trail::new(url);
    let checkpoint = trail.run(&["audit", "checkpoint"]);
    let entries = trail.assert_sound(&[])["entries"].as_i64().unwrap();
    let end = entries - 2;

    // Without its last rows, the trail ends before its newest signed checkpoint.
    trail.keep().await;
    trail.sql(&cut_rows(end)).await;
    let (code, found) = trail.verify(&[]);
    assert_eq!(code, 1);
    let what =
        format!("cut: the newest checkpoint covers {entries} entries, and only {end} are there");
    assert_eq!(found["findings"][0]["what"], what, "{found}");

    // With the checkpoints deleted as well, only a checkpoint that was kept elsewhere reveals the
    // cut.
    trail.sql(&cut_checkpoints(end)).await;
    trail.assert_sound(&[]);
    for kept in [checkpoint.clone(), format!("{checkpoint:?}")] {
        fs::write(trail.place.path("kept"), kept).unwrap();
        let (code, found) = trail.verify(&["--checkpoint", "kept"]);
        assert_eq!(code, 1);
        let what = format!(
            "cut: the checkpoint you gave covers {entries} entries, and only {end} are there"
        );
        assert_eq!(found["findings"][0]["what"], what, "{found}");
    }
    trail.restore().await;
    // An older checkpoint of the same trail is still valid after the trail has grown.
    trail.run(&["token", "create", "--name", "later"]);
    fs::write(trail.place.path("kept"), &checkpoint).unwrap();
    trail.assert_sound(&["--checkpoint", "kept"]);
    fs::write(trail.place.path("other"), checkpoint.replacen('\n', "\n1", 1)).unwrap();
    let (code, found) = trail.verify(&["--checkpoint", "other"]);
    assert_eq!(code, 1);
    assert!(found["findings"][0]["what"].as_str().unwrap().contains("its signature is wrong"));

    // A row inserted before a server chains new rows is chained, and still found to be forged.
    let sql =
        "INSERT INTO audit (at, actor, action, object, detail) VALUES (1, 'a', 'b', 'c', '{}')";
    trail.sql(sql).await;
    let seq = trail.number("SELECT seq FROM audit WHERE actor = 'a'").await;
    trail.run(&["keys", "list"]);
    let (code, found) = trail.verify(&[]);
    assert_eq!((code, rows(&found)), (1, vec![&Value::from(seq)]), "{found}");
    let what = found["findings"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("forged: rekey did not write this row"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_end_is_named_on_sqlite() {
    ends_are_named(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_end_is_named_on_postgres() {
    if let Some(url) = postgres_url().await {
        ends_are_named(Some(url)).await;
    }
}

#[test]
fn rows_from_before_there_were_digests_are_taken_over() {
    let trail = Trail::new(None);
    trail.file().execute_batch(
        "UPDATE audit SET mac = NULL, origin = NULL; DELETE FROM audit_chain; DELETE FROM audit_checkpoint;
         DELETE FROM setting WHERE name = 'audit_head'",
    ).unwrap();
    assert_eq!(trail.verify(&[]).0, 1);
    trail.run(&["keys", "list"]);
    trail.assert_sound(&[]);
}

/// Runs a rekey command on the store of a running server.
pub(crate) fn beside(site: &Site, arguments: &[&str]) -> Output {
    let place = Place::new();
    let mut command = place.command(arguments);
    command
        .env("REKEY_STORE__URL", &site.store_url)
        .env("REKEY_STORE__MASTER_KEY_FILE", site.folder.path().join("master.key"));
    command.output().unwrap()
}

/// Exports every entry of the trail.
pub(crate) async fn exported(site: &Site) -> Vec<Value> {
    attempts_written(&site.app.audit).await;
    Chainer::default().finish(&site.app.audit).await.unwrap();
    let lines = String::from_utf8(beside(site, &["audit", "export"]).stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) async fn changed(site: &Site) -> String {
    site.with_people(&["abby"]).await;
    let token = site.token_of(&site.api_client().await).await;
    let accepted = site.set_password(&token, "abby", "IdentityNow", "Correct horse 7").await;
    site.ended(&token, &accepted).await;
    accepted.body["requestId"].as_str().unwrap().to_owned()
}

async fn an_entry_is_shown_beside_a_running_server(site: Site) {
    let id = changed(&site).await;
    Chainer::default().finish(&site.app.audit).await.unwrap();
    let shown = beside(&site, &["audit", "prove", &id, "--json"]);
    let shown: Value =
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    let entries = shown["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "accepted and ended: {shown}");
    for (entry, action) in
        entries.iter().zip(["PasswordsRequestStart", "ACTION_PASSWORD_CHANGE_SUCCESS"])
    {
        assert!(entry["entry"].as_str().unwrap().contains(action), "{entry}");
        let proof = entry["proof"].as_str().unwrap();
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
        assert!(proof.ends_with(shown["checkpoint"].as_str().unwrap()), "{proof}");
    }
    let none = beside(&site, &["audit", "prove", "none"]);
    assert_eq!(none.status.code(), Some(1));
    let verified = beside(&site, &["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");

    let lines = beside(&site, &["audit", "export"]).stdout;
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().enumerate().all(|(at, line)| line["position"] == at));
    let tiles = site.folder.path().join("tiles");
    let told = beside(&site, &["audit", "export", "--tiles", tiles.to_str().unwrap()]);
    assert!(told.status.success(), "{told:?}");
    let covered: usize = fs::read_to_string(tiles.join("checkpoint"))
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let tile = fs::read(tiles.join(format!("tile/0/000.p/{covered}"))).unwrap();
    assert_eq!(tile.len(), 32 * covered);
    assert!(tiles.join(format!("tile/entries/000.p/{covered}")).exists());
}

async fn what_is_done_is_recorded_with_its_origin(site: Site) {
    let id = changed(&site).await;
    let refused = site
        .post("/oauth/token")
        .header("user-agent", "probe/1.0")
        .text(crate::people::FORM, "grant_type=client_credentials&client_id=none&client_secret=x")
        .send()
        .await;
    let tracking = refused.headers["slpt-request-id"].to_str().unwrap();
    let lines = exported(&site).await;
    let of = |action: &str| {
        lines.iter().find(|line| line["action"] == action).unwrap_or_else(|| panic!("{action}"))
    };
    let start = of("PasswordsRequestStart");
    assert_eq!((&start["object"], &start["result"]), (&id.into(), &"success".into()));
    assert_eq!(start["origin"]["ip"], "127.0.0.1");
    assert_eq!(start["origin"]["clientId"], start["detail"]["clientId"]);
    assert!(start["origin"]["trackingId"].as_str().unwrap().len() == 32);
    let issue = lines.iter().find(|line| line["result"] == "failure").unwrap();
    assert_eq!(issue["action"], "CLIENT_TOKEN_ISSUE");
    assert_eq!(issue["reason"], "there is no such client");
    assert_eq!(issue["origin"]["trackingId"], tracking);
    assert_eq!(issue["origin"]["userAgent"], "probe/1.0");
    of("SIGNING_KEY_CREATED");
    of("API_CLIENT_CREATED");
    of("CLIENT_TOKEN_ISSUE");
}
