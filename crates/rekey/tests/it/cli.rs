//! The command line, tested with the real binary.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the binary runs, without settings from the environment.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekey"));
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("REKEY_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("REKEY_SERVER__LISTEN", "127.0.0.1:0");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The standard output, parsed as one JSON value.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The error message with which the command fails.
    fn fails(&self, arguments: &[&str]) -> String {
        sentence(&self.run(arguments))
    }

    fn serve(&self) -> Server {
        Server::start(self.command(&["serve"]))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sentence(output: &Output) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1, "one sentence: {said}");
    let sentence = lines[0].strip_prefix("error: ").expect("it begins with error");
    assert!(!sentence.ends_with('.') && !sentence.contains("Err("), "{sentence}");
    sentence.to_owned()
}

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) base: String,
    pub(crate) before: Vec<String>,
    /// Kept open, so that the server can still write to its standard output.
    out: Option<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Self { child, base: String::new(), before: Vec::new(), out: None };
        let mut out = BufReader::new(server.child.stdout.take().unwrap());
        while server.base.is_empty() {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended: {:?}", server.before);
            match line.trim().strip_prefix("rekey serves on ") {
                Some(base) => base.clone_into(&mut server.base),
                None => server.before.push(line.trim().to_owned()),
            }
        }
        server.out = Some(out);
        server
    }

    /// Stops the server; returns its log.
    pub(crate) fn stop(mut self) -> String {
        assert!(self.out.is_some());
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let log = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success());
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn bootstrap(place: &Place) -> Value {
    serde_json::from_slice(&fs::read(place.path("rekey-data/bootstrap.json")).unwrap()).unwrap()
}

#[test]
fn only_a_terminal_is_told_the_first_secret() {
    let place = Place::new();
    let rekey = place.command(&[]);
    let mut script = Command::new("script");
    for (name, value) in rekey.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let serve = format!("exec {} serve", rekey.get_program().display());
    script.args(["--quiet", "--command", &serve, "/dev/null"]).current_dir(place.path(""));
    let mut terminal = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(terminal.stdout.take().unwrap()).lines();
    let block = said.find(|line| line.as_ref().unwrap().contains("SAIL_CLIENT_SECRET")).unwrap();
    let secret = bootstrap(&place)["apiClientSecret"].as_str().unwrap().to_owned();
    assert!(block.unwrap().trim_end().ends_with(&format!("SAIL_CLIENT_SECRET={secret}")));
    // On SIGTERM, `script` ends the server that it runs; when killed, it cannot.
    let id = terminal.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    terminal.wait().unwrap();
    while said.next().is_some() {}
}

#[test]
fn the_first_start_writes_the_first_credentials_and_no_other_does() {
    let place = Place::new();
    let server = place.serve();
    let file = place.path("rekey-data/bootstrap.json");
    assert_eq!(mode(&place.path("rekey-data")), 0o700);
    for name in ["bootstrap.json", "master.key", "rekey.db", "rekey.db-wal"] {
        assert_eq!(mode(&place.path("rekey-data").join(name)), 0o600, "{name}");
    }
    let first = bootstrap(&place);
    assert_eq!(first["baseUrl"], server.base);
    assert_eq!(first["adminUser"], "admin");
    for (name, length) in
        [("clientId", 32), ("clientSecret", 64), ("apiClientId", 32), ("apiClientSecret", 64)]
    {
        assert_eq!(first[name].as_str().unwrap().len(), length, "{name}");
    }
    let block = format!(
        "export SAIL_BASE_URL={} SAIL_CLIENT_ID={} SAIL_CLIENT_SECRET=(its apiClientSecret)",
        server.base,
        first["apiClientId"].as_str().unwrap(),
    );
    assert!(server.before.contains(&block), "{:?}", server.before);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no core dumps: {core}");
    server.stop();

    let written = fs::read(&file).unwrap();
    let again = place.serve();
    assert!(again.before.is_empty(), "{:?}", again.before);
    assert_eq!(fs::read(&file).unwrap(), written);
    let told = place.fails(&["init"]);
    assert!(told.starts_with("this store was set up before"), "{told}");
    assert_eq!(fs::read_dir(place.path("rekey-data")).unwrap().count(), 5, "no drafts are left");
}

#[tokio::test]
async fn of_nodes_that_start_at_once_one_makes_the_first_credentials() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let places: Vec<_> = (0..3).map(|_| Place::new()).collect();
    let start = |place: &Place| {
        let key = place.path("master.key");
        fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = place.command(&["serve"]);
        command.env("REKEY_STORE__URL", &url).env("REKEY_STORE__MASTER_KEY_FILE", key);
        command
    };
    let servers: Vec<_> = places
        .iter()
        .map(start)
        .map(|command| std::thread::spawn(|| Server::start(command)))
        .collect();
    for server in servers {
        server.join().unwrap().stop();
    }
    let files = places.iter().map(|place| fs::read_dir(place.path("rekey-data")).unwrap().count());
    assert_eq!(files.sum::<usize>(), 1, "one bootstrap.json, and no drafts");
    let other = Place::new();
    let output = other.command(&["serve"]).env("REKEY_STORE__URL", &url).output().unwrap();
    assert!(sentence(&output).starts_with("the master key rekey-data/master.key is missing"));
}

#[tokio::test]
async fn the_first_credentials_are_kept_when_nobody_knows_whether_they_count() {
    let Some(url) = crate::site::postgres_url().await else { return };
    let place = Place::new();
    let run = |arguments: &[&str]| {
        place.command(arguments).env("REKEY_STORE__URL", &url).output().unwrap()
    };
    assert!(run(&["keys", "list"]).status.success(), "the tables are made");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // The trigger ends the connection during the commit.
    let die = "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
                   $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5); RETURN NULL; END$$;
               CREATE CONSTRAINT TRIGGER die AFTER INSERT ON setting DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW WHEN (NEW.name = 'first_start') EXECUTE FUNCTION die()";
    client.batch_execute(die).await.unwrap();
    let told = sentence(&run(&["init"]));
    assert!(told.contains("it is not known whether"), "{told}");
    let (_, draft) = told.split_once("they stay in ").unwrap();
    let draft = place.path(draft.strip_suffix("; start again").unwrap());
    assert!(draft.exists(), "{}", draft.display());
    assert!(!place.path("rekey-data/bootstrap.json").exists());

    // If the commit had succeeded, the next start would rename the file.
    let node = draft.extension().unwrap().to_str().unwrap().to_owned();
    client.batch_execute("DROP TRIGGER die ON setting").await.unwrap();
    let done = "INSERT INTO setting (name, value) VALUES ('first_start', $1)";
    client.execute(done, &[&node]).await.unwrap();
    assert!(sentence(&run(&["init"])).starts_with("this store was set up before"));
    assert!(!draft.exists() && place.path("rekey-data/bootstrap.json").exists());
}

#[test]
fn init_prints_what_it_writes() {
    let place = Place::new();
    let printed = place.json(&["init", "--json"]);
    assert_eq!(printed, bootstrap(&place));
}

#[test]
fn the_administrator_signs_in_with_the_first_password() {
    let place = Place::new();
    let first = place.json(&["init", "--json"]);
    for (password, code) in [(first["adminPassword"].as_str().unwrap(), 0), ("wrong", 1)] {
        let mut command = place.command(&["sign-in", "admin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_port_in_use_is_said_before_anything_is_made() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = place.command(&["serve"]).env("REKEY_SERVER__LISTEN", &address).output().unwrap();
    let told = sentence(&output);
    assert!(told.starts_with(&format!("rekey cannot listen on {address}: ")), "{told}");
    assert!(!place.path("rekey-data").exists());
}

#[test]
fn a_mistake_in_the_settings_is_one_sentence() {
    let place = Place::new();
    fs::write(place.path("rekey.toml"), "[server]\nlistn = \"127.0.0.1:1\"\n").unwrap();
    let told = place.fails(&["serve"]);
    assert_eq!(told, "rekey.toml line 2: there is no setting server.listn: did you mean listen?");
    fs::write(place.path("other.toml"), "[log]\nfilter = \"rekey=loud\"\n").unwrap();
    let told = place.fails(&["config", "check", "--config", "other.toml"]);
    assert!(told.starts_with("log.filter: "), "{told}");
    let told = place.fails(&["serve", "--config", "none.toml"]);
    assert!(told.starts_with("the configuration none.toml cannot be read: "), "{told}");
}

#[test]
fn no_message_about_the_store_holds_its_password() {
    let place = Place::new();
    for (url, says) in [
        ("mysql://u:hush@db/x", "store.url begins with mysql://, which rekey cannot use"),
        ("postgres://u:hush@127.0.0.1:hush/x", "store.url is not a PostgreSQL URL"),
        ("postgres://u:p?hush=1@127.0.0.1:1/x", "the store cannot be reached"),
        ("POSTGRES://u:hush@127.0.0.1:1/x", "the store cannot be reached"),
    ] {
        for arguments in [&["keys", "list"][..], &["init"], &["serve"]] {
            let output = place.command(arguments).env("REKEY_STORE__URL", url).output().unwrap();
            let told = sentence(&output);
            assert!(
                told.starts_with(says) && !told.contains("hush"),
                "{url} {arguments:?}: {told}"
            );
        }
        let shown = place.command(&["config", "show"]).env("REKEY_STORE__URL", url).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        assert!(!shown.contains(":hush@") && !shown.contains("hush=1"), "{shown}");
    }
}

#[test]
fn the_default_settings_can_be_used_as_they_are_printed() {
    let place = Place::new();
    fs::write(place.path("rekey.toml"), place.run(&["config", "default"]).stdout).unwrap();
    assert!(place.run(&["config", "check"]).status.success());
}

#[test]
fn another_master_key_is_refused_and_a_missing_one_missed() {
    let place = Place::new();
    place.json(&["init", "--json"]);
    let key = place.path("rekey-data/master.key");
    let own = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("{}\n", "0123456789abcdef".repeat(4))).unwrap();
    let told = place.fails(&["serve"]);
    assert!(told.starts_with("the master key does not belong to this store: "), "{told}");
    fs::remove_file(&key).unwrap();
    let told = place.fails(&["keys", "list"]);
    assert!(told.starts_with("the master key rekey-data/master.key is missing"), "{told}");
    assert!(!key.exists(), "none was made in its place");
    fs::write(&key, own).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = place.fails(&["serve"]);
    assert!(told.ends_with("chmod 600 rekey-data/master.key"), "{told}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(place.run(&["keys", "list"]).status.success());
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let place = Place::new();
    place.json(&["init", "--json"]);
    let store = rusqlite::Connection::open(place.path("rekey-data/rekey.db")).unwrap();
    store.execute("INSERT INTO migration (number, digest) VALUES (999, '')", []).unwrap();
    drop(store);
    let told = place.fails(&["serve"]);
    assert!(told.starts_with("the store was written by a newer rekey (schema 999)"), "{told}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    fs::write(place.path("rekey-data"), "a file in its place").unwrap();
    let told = place.fails(&["serve"]);
    assert!(told.starts_with("the folder rekey-data cannot be made: "), "{told}");
}

#[test]
fn without_a_store_commands_say_what_to_start() {
    let place = Place::new();
    let told = place.fails(&["keys", "list"]);
    assert!(told.starts_with("there is no store rekey-data/rekey.db yet: "), "{told}");
    assert!(!place.path("rekey-data").exists());
}

#[test]
fn tokens_and_keys_are_made_beside_a_running_server() {
    let place = Place::new();
    let server = place.serve();
    for who in [&["--identity", "admin"][..], &["--client"]] {
        let arguments = [&["token", "create", "--name", "ci", "--json"], who].concat();
        let made = place.json(&arguments);
        let answer = token(&server.base, &made);
        assert!(answer["access_token"].is_string(), "{answer}");
    }
    let told = place.fails(&["token", "create", "--name", "ci"]);
    assert!(told.contains("named `ci` already"), "{told}");
    let told = place.fails(&["token", "create", "--name", "x", "--identity", "nobody"]);
    assert!(told.starts_with("there is no identity nobody"), "{told}");

    let in_use = || -> Vec<String> {
        let keys = place.json(&["keys", "list", "--json"]);
        let keys = keys.as_array().unwrap().iter().filter(|key| key["acceptUntil"].is_null());
        keys.map(|key| key["publicKeyId"].as_str().unwrap().to_owned()).collect()
    };
    let old = in_use();
    let rotated = place.json(&["keys", "rotate", "--all", "--json"]);
    assert_eq!(rotated[0]["source"], "IdentityNow");
    let new = in_use();
    assert_eq!((old.len(), new.len()), (2, 2));
    assert!(old.iter().all(|id| !new.contains(id)), "{old:?} {new:?}");
    let told = place.fails(&["keys", "rotate", "--source", "IdentityNwo"]);
    assert_eq!(told, "there is no source IdentityNwo: did you mean IdentityNow?");
    server.stop();
}

#[test]
fn a_leaked_credential_is_revoked_beside_a_running_server() {
    let place = Place::new();
    let server = place.serve();
    for who in [&["--identity", "admin"][..], &["--client"]] {
        let made = place.json(&[&["token", "create", "--name", "leak", "--json"], who].concat());
        let (id, secret) = (made["clientId"].as_str().unwrap(), made["clientSecret"].as_str());
        let held = token(&server.base, &made)["access_token"].as_str().unwrap().to_owned();
        let probe = || get(&server.base, "/v3/password-change-status/none", &held);
        assert!(probe().starts_with("HTTP/1.1 404"), "{}", probe());

        let listed = place.run(&["token", "list", "--json"]);
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(!text.contains(secret.unwrap()), "never secrets");
        let listed: Vec<Value> = serde_json::from_str(&text).unwrap();
        let row = listed.iter().find(|row| row["clientId"] == id).unwrap();
        assert_eq!(row["name"], "leak");
        assert_eq!(row["owner"], who.get(1).map_or(Value::Null, |owner| (*owner).into()));
        assert!(row["lastUsed"].is_string() && row["expires"].is_null(), "{row}");
        assert!(String::from_utf8(place.run(&["token", "list"]).stdout).unwrap().contains(id));

        assert_eq!(place.json(&["token", "revoke", id, "--json"])["revoked"], true);
        assert!(probe().starts_with("HTTP/1.1 401"), "{}", probe());
        assert_eq!(token(&server.base, &made)["error"], "invalid_client");
        let told = place.fails(&["token", "revoke", id]);
        assert!(told.starts_with(&format!("there is no client with the id {id}: ")), "{told}");
    }
    let store = rusqlite::Connection::open(place.path("rekey-data/rekey.db")).unwrap();
    let audited = "SELECT COUNT(*) FROM audit
                   WHERE action IN ('PERSONAL_ACCESS_TOKEN_DELETED', 'API_CLIENT_DELETED')";
    assert_eq!(store.query_row(audited, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    server.stop();
}

fn get(base: &str, path: &str, token: &str) -> String {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    std::io::read_to_string(stream).unwrap()
}

/// Requests a token with a form, as `curl -d` sends it.
pub(crate) fn token(base: &str, made: &Value) -> Value {
    let address = base.strip_prefix("http://").unwrap();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        made["clientId"].as_str().unwrap(),
        made["clientSecret"].as_str().unwrap()
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_file_is_applied_once_and_shown_first() {
    let place = Place::new();
    place.json(&["init", "--json"]);
    let file = "identities: [{alias: abby.smith}]\nsources: [{name: Workshop, connector: rekey, owner: abby.smith}]";
    fs::write(place.path("site.yaml"), file).unwrap();
    let shown = place.json(&["apply", "-f", "site.yaml", "--dry-run", "--json"]);
    assert_eq!(shown["steps"].as_array().unwrap().len(), 2);
    let done = place.json(&["apply", "-f", "site.yaml", "--json"]);
    assert_eq!(done["steps"], shown["steps"]);
    let again = place.json(&["apply", "-f", "site.yaml", "--json"]);
    assert_eq!(again["steps"], serde_json::json!([]));
    assert!(place.run(&["source", "test", "Workshop"]).status.success());
}

#[test]
fn the_keys_of_a_source_that_moved_are_shown_as_revoked() {
    let place = Place::new();
    place.json(&["init", "--json"]);
    for host in ["old.example.com", "new.example.com"] {
        let file = format!(
            "sources: [{{name: D, connector: ldap, owner: admin, features: [PASSWORD],
               connectorAttributes: {{host: {host},
               bindDn: cn=rekey, bindPassword: hush, baseDn: dc=example}}}}]"
        );
        fs::write(place.path("site.yaml"), file).unwrap();
        place.json(&["apply", "-f", "site.yaml", "--json"]);
    }
    let listed = String::from_utf8(place.run(&["keys", "list"]).stdout).unwrap();
    let of_source = listed.lines().filter(|line| line.contains("  D  "));
    let (revoked, used): (Vec<_>, Vec<_>) = of_source.partition(|line| line.ends_with("revoked"));
    assert_eq!((revoked.len(), used.len()), (2, 2), "{listed}");
    assert!(used.iter().all(|line| line.ends_with("in use")), "{listed}");
}

#[test]
fn the_demonstration_holds() {
    let place = Place::new();
    let told = place.json(&["demo", "--exit", "--json", "--listen", "127.0.0.1:0"]);
    assert_eq!(told["held"], true);
    assert_eq!(told["steps"].as_array().unwrap().len(), 8);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0, "nothing stays here");
    let output = place.run(&["demo", "--exit", "--listen", "127.0.0.1:0"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("welcome, Abby"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
}
