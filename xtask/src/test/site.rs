//! The real `rekey`, serving from a folder of its own, connected to all target systems.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Request, ask};
use super::postgres::{self, Postgres};
use super::random::secret;
use super::server::{self, Server, free_port};
use super::slapd::{self, Slapd};
use super::targets::people;
use crate::shell::{self, Result, root, target};

/// The kind of store of a site.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    Postgresql,
    Sqlite,
}

pub(crate) struct Site {
    server: Option<Server>,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// The target systems that a site is connected to.
pub(crate) struct Connected<'a> {
    pub(crate) ldap: &'a Slapd,
    pub(crate) postgres: &'a Postgres,
    pub(crate) certificate: PathBuf,
}

impl Site {
    /// Starts a site and aggregates all sources. `log` is the filter of its log.
    pub(crate) fn start(
        folder: PathBuf,
        store: Store,
        log: &str,
        targets: &Connected,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut environment = environment(port, store, targets, &folder)?;
        environment.extend(["REKEY_LOG__FILTER", "RUST_LOG"].map(|name| (name, log.to_owned())));
        let mut site = Self { server: None, folder, environment };
        let mut server = site.serve()?;
        server.wait_until(|| {
            let ready = Request { method: "GET", path: "/readyz", ..Request::default() };
            ask(port, &ready).is_ok_and(|(status, _)| status == 200)
        })?;
        site.server = Some(server);

        let bootstrap = shell::read(&site.folder.join("rekey-data/bootstrap.json"))?;
        let bootstrap: Value = serde_json::from_str(&bootstrap).map_err(|e| e.to_string())?;
        site.environment.push(("SITE_API_ID", member(&bootstrap, "apiClientId")?));
        site.environment.push(("SITE_API_SECRET", member(&bootstrap, "apiClientSecret")?));

        site.describe(targets)?;
        shell::output(site.rekey().args(["apply", "-f", "site.yaml"]))?;
        aggregate(port, &bootstrap)?;
        Ok(site)
    }

    /// A command in the site's folder, with the environment that describes the site.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = server::command(program, "TERM", None);
        command.current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn serve(&self) -> Result<Server> {
        let mut command = self.rekey();
        Server::start("rekey", command.arg("serve"), &self.folder.join("rekey.log"), "TERM")
    }

    fn rekey(&self) -> Command {
        self.command(&binary())
    }

    /// Writes the file for `rekey apply`, in JSON, which is also YAML.
    fn describe(&self, targets: &Connected) -> Result {
        shell::write(&self.folder.join("ldap.secret"), &targets.ldap.bind_password)?;
        shell::write(&self.folder.join("postgresql.secret"), &targets.postgres.password)?;
        shell::write(&self.folder.join("first.secret"), &format!("First-1-{}", secret()?))?;
        let identities: Vec<Value> = people()
            .iter()
            .map(|alias| {
                json!({
                    "alias": alias, "name": format!("Person {alias}"),
                    "email": format!("{alias}@rekey.test"), "attributes": {"uid": alias},
                    "password": {"file": "first.secret"},
                })
            })
            .collect();
        let ca = json!({"file": targets.certificate});
        let site = json!({
            "identities": identities,
            "sources": [
                {
                    "name": LDAP, "connector": "ldap", "owner": "u1", "features": ["PASSWORD"],
                    "connectorAttributes": {
                        "host": "127.0.0.1", "port": targets.ldap.port, "tls": "ldaps",
                        "caCertificate": ca, "bindDn": slapd::SERVICE,
                        "bindPassword": {"file": "ldap.secret"}, "baseDn": slapd::BASE,
                        "accountFilter": "(objectClass=inetOrgPerson)", "nameAttribute": "uid",
                        "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
                    },
                },
                {
                    "name": POSTGRESQL, "connector": "postgresql", "owner": "u1",
                    "features": ["PASSWORD"],
                    "connectorAttributes": {
                        "host": "127.0.0.1", "port": targets.postgres.port,
                        "database": "postgres", "tls": "verify-full", "caCertificate": ca,
                        "user": postgres::SERVICE, "password": {"file": "postgresql.secret"},
                        "correlation": {"accountAttribute": "rolname", "identityAttribute": "alias"},
                    },
                },
            ],
        });
        shell::write(&self.folder.join("site.yaml"), &format!("{site:#}\n"))
    }
}

const LDAP: &str = "Directory";
const POSTGRESQL: &str = "Database";

/// Aggregates both sources and waits until that has ended.
fn aggregate(port: u16, bootstrap: &Value) -> Result {
    let id = member(bootstrap, "clientId")?;
    let secret = member(bootstrap, "clientSecret")?;
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let token = Request { method: "POST", path: "/oauth/token", form: &form, token: None };
    let token = member(&expect(port, &token, 200)?, "access_token")?;
    let token = Some(token.as_str());

    let list = Request { method: "GET", path: "/v2024/sources", token, form: "" };
    let sources = expect(port, &list, 200)?;
    for source in sources.as_array().into_iter().flatten() {
        let name = member(source, "name")?;
        if ![LDAP, POSTGRESQL].contains(&name.as_str()) {
            continue;
        }
        let path = format!("/v2024/sources/{}/load-accounts", member(source, "id")?);
        let load = Request { method: "POST", path: &path, token, form: "" };
        let begun = expect(port, &load, 202)?;
        let task = member(begun.get("task").unwrap_or(&Value::Null), "id")?;
        let path = format!("/v2024/task-status/{task}");
        wait_for_task(port, &name, &Request { method: "GET", path: &path, token, form: "" })?;
    }
    Ok(())
}

fn wait_for_task(port: u16, source: &str, question: &Request) -> Result {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(1) {
        let task = expect(port, question, 200)?;
        if task.get("completed").is_some_and(|completed| !completed.is_null()) {
            return match task.get("completionStatus").and_then(Value::as_str) {
                Some("SUCCESS") => Ok(()),
                _ => Err(format!("the accounts of {source} were not read: {task}")),
            };
        }
        sleep(Duration::from_millis(50));
    }
    Err(format!("the accounts of {source} were not read within 60 s"))
}

/// The environment: it configures `rekey` completely, and describes the site to other programs.
fn environment(
    port: u16,
    store: Store,
    targets: &Connected,
    folder: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let base_url = format!("http://127.0.0.1:{port}");
    let metrics = format!("127.0.0.1:{}", free_port()?);
    let scripts = root().join("verify/clients").display().to_string();
    let mut environment = vec![
        ("REKEY_METRICS__LISTEN", metrics.clone()),
        ("REKEY_SERVER__LISTEN", format!("127.0.0.1:{port}")),
        ("REKEY_SERVER__BASE_URL", base_url.clone()),
        ("REKEY_LIMITS__REQUESTS_PER_10S", "0".to_owned()),
        ("SITE_BASE_URL", base_url),
        ("SITE_BINARY", binary().display().to_string()),
        ("SITE_CA", targets.certificate.display().to_string()),
        ("SITE_LDAP_BASE", slapd::BASE.to_owned()),
        ("SITE_LDAP_LOG", targets.ldap.log.display().to_string()),
        ("SITE_LDAP_SOURCE", LDAP.to_owned()),
        ("SITE_LDAP_URL", format!("ldaps://127.0.0.1:{}", targets.ldap.port)),
        ("SITE_METRICS", metrics),
        ("SITE_LOG", folder.join("rekey.log").display().to_string()),
        ("SITE_POSTGRESQL_ADMIN", targets.postgres.admin_url("postgres")),
        ("SITE_POSTGRESQL_LOG", targets.postgres.log.display().to_string()),
        ("SITE_POSTGRESQL_PORT", targets.postgres.port.to_string()),
        ("SITE_POSTGRESQL_SOURCE", POSTGRESQL.to_owned()),
        ("SITE_SCRIPTS", scripts.clone()),
        // The Python checks import shared modules from this folder.
        ("PYTHONPATH", scripts),
    ];
    if let Store::Postgresql = store {
        let database = format!("site_{}", secret()?);
        targets.postgres.psql(&format!("create database {database}"))?;
        let url = targets.postgres.admin_url(&database);
        environment.push(("SITE_DUMP", url.clone()));
        environment.push(("REKEY_STORE__URL", url));
    }
    Ok(environment)
}

fn expect(port: u16, request: &Request, wanted: u16) -> Result<Value> {
    let (status, body) = ask(port, request)?;
    if status == wanted {
        return Ok(body);
    }
    Err(format!("{} {} answered {status}: {body}", request.method, request.path))
}

fn member(value: &Value, name: &str) -> Result<String> {
    let text = value.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("no {name} in what should have one"))
}

fn binary() -> PathBuf {
    target().join("debug/rekey")
}
