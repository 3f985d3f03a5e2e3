//! A rekey with every kind of connected system, and many people on each.
//!
//! | people | their password is on |
//! |---|---|
//! | `p1`, … | the built-in source people sign in with |
//! | `l1`, … | a directory |
//! | `r1`, … | a PostgreSQL, where rekey may only create roles |
//! | `s1`, … | the same PostgreSQL, where rekey is a superuser |
//! | `g1`, … | a sync group: the directory, PostgreSQL and a built-in source of its own |

use std::{env, fs, path::PathBuf};

use rekey_harness::{Connection, Info, Place, Result, Rows, Server, read_accounts, text};
use serde_json::{Value, json};

pub(crate) mod history;
pub(crate) mod login;
pub(crate) mod people;

/// A kind of people: the first letter of their names, and the source of their password.
pub(crate) struct Kind {
    pub(crate) letter: char,
    pub(crate) source: &'static str,
    /// The number of people of this kind.
    pub(crate) people: usize,
}

/// All kinds of people.
pub(crate) const KINDS: &[Kind] = &[
    Kind { letter: 'p', source: "IdentityNow", people: 160 },
    Kind { letter: 'l', source: "Directory", people: 80 },
    Kind { letter: 'r', source: "Database", people: 60 },
    Kind { letter: 's', source: "Ledger", people: 60 },
    Kind { letter: 'g', source: "Group Directory", people: 60 },
];

/// The members of the sync group.
const GROUP: [&str; 3] = ["Group Directory", "Group database", "Group People"];

/// One person's password on one source, which requests can change.
pub(crate) struct Subject {
    pub(crate) user: String,
    pub(crate) source: &'static str,
    pub(crate) info: Info,
}

/// The target systems, as `cargo xtask targets` describes them.
#[derive(Clone)]
pub(crate) struct Targets {
    pub(crate) ldap: Value,
    pub(crate) postgres: Value,
}

impl Targets {
    /// Reads the descriptions from the files that the environment names.
    pub(crate) fn named() -> Result<Self> {
        let read = |variable: &str| -> Result<Value> {
            let file = env::var_os(variable)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{variable} is not set: run this through cargo xtask"))?;
            Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
        };
        Ok(Self { ldap: read("REKEY_TEST_LDAP")?, postgres: read("REKEY_TEST_POSTGRES_TARGET")? })
    }

    fn directory(&self) -> Value {
        let mut attributes = json!({
            "tls": "ldaps",
            "accountFilter": "(objectClass=inetOrgPerson)",
            "nameAttribute": "uid",
            "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
        });
        let same = ["host", "port", "caCertificate", "bindDn", "bindPassword", "baseDn"];
        take_over(&mut attributes, &self.ldap, &same);
        attributes
    }

    fn database(&self, user: &str, password: &str) -> Value {
        let mut attributes = json!({
            "tls": "verify-full", "user": user, "password": password,
            "correlation": {"accountAttribute": "rolname", "identityAttribute": "alias"},
        });
        let same = ["host", "port", "caCertificate", "database"];
        take_over(&mut attributes, &self.postgres, &same);
        attributes
    }
}

/// Copies the named members of `system` to `attributes`.
fn take_over(attributes: &mut Value, system: &Value, names: &[&str]) {
    for name in names {
        if let (Some(members), Some(value)) = (attributes.as_object_mut(), system.get(name)) {
            members.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Configures the people in the rekey at `place`; with target systems, also creates the people's
/// accounts there and configures the sources. The server must not be running.
pub(crate) async fn set_up(place: &Place, targets: Option<&Targets>) -> Result<()> {
    let people: Vec<_> =
        names(targets.is_some()).map(|(_, who)| json!({"alias": who, "name": who})).collect();
    let mut site = json!({ "identities": people });
    if let Some(targets) = targets {
        connect(&mut site, targets).await?;
    }
    // JSON is valid YAML.
    let file = place.folder().join("site.yaml");
    fs::write(&file, site.to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()])?;
    Ok(())
}

/// Adds the target systems to the configuration.
async fn connect(site: &mut Value, targets: &Targets) -> Result<()> {
    let superuser = people::make(targets).await?;
    let (user, password) = (text(&targets.postgres, "user"), text(&targets.postgres, "password"));
    let source = |name: &str, connector: &str, attributes: Value| {
        json!({
            "name": name, "connector": connector, "owner": "admin", "features": ["PASSWORD"],
            "connectorAttributes": attributes,
        })
    };
    let postgres = targets.database(&user, &password);
    let ledger = targets.database(people::SUPERUSER, &superuser);
    let policies = json!([{"name": "Group", "minLength": 8}]);
    let sources = json!([
        source("Directory", "ldap", targets.directory()),
        source("Database", "postgresql", postgres.clone()),
        source("Ledger", "postgresql", ledger),
        source("Group Directory", "ldap", targets.directory()),
        source("Group database", "postgresql", postgres),
        source("Group People", "rekey", json!({})),
    ]);
    let groups = json!([{"name": "Group", "policy": "Group", "sources": GROUP}]);
    let systems = json!({"policies": policies, "sources": sources, "syncGroups": groups});
    take_over(site, &systems, &["policies", "sources", "syncGroups"]);
    Ok(())
}

/// Fetches everybody's password information; if target systems are connected, aggregates them
/// first.
pub(crate) async fn subjects(server: &Server, connected: bool) -> Result<Vec<Subject>> {
    for source in ["Directory", "Database", "Ledger"].iter().chain(&GROUP).filter(|_| connected) {
        read_accounts(server, source).await?;
    }
    let mut connection = Connection::open(&server.address).await?;
    let mut subjects = Vec::new();
    for (kind, user) in names(connected) {
        let source = kind.source;
        let info = Info::ask(&mut connection, &server.headers(), &user, source).await?;
        subjects.push(Subject { user, source, info });
    }
    Ok(subjects)
}

/// The names of all people, or only of those who need no target system.
fn names(connected: bool) -> impl Iterator<Item = (&'static Kind, String)> {
    KINDS
        .iter()
        .filter(move |kind| connected || kind.source == "IdentityNow")
        .flat_map(|kind| (1..=kind.people).map(move |n| (kind, format!("{}{n}", kind.letter))))
}

/// Adds triggers to the store that record every password that takes effect on its built-in sources.
pub(crate) async fn record_effects(store: &mut Rows) -> Result<()> {
    store.run(if store.is_postgres() { RECORD_ON_POSTGRES } else { RECORD_ON_SQLITE }).await
}

const RECORD_ON_SQLITE: &str = "
    CREATE TABLE proof_effect (
        number INTEGER PRIMARY KEY, source_id TEXT, native_identity TEXT, verifier TEXT);
    CREATE TRIGGER proof_first AFTER INSERT ON builtin_password BEGIN
        INSERT INTO proof_effect (source_id, native_identity, verifier)
        VALUES (NEW.source_id, NEW.native_identity, NEW.verifier); END;
    CREATE TRIGGER proof_later AFTER UPDATE ON builtin_password BEGIN
        INSERT INTO proof_effect (source_id, native_identity, verifier)
        VALUES (NEW.source_id, NEW.native_identity, NEW.verifier); END;";

const RECORD_ON_POSTGRES: &str = "
    CREATE TABLE proof_effect (
        number BIGSERIAL PRIMARY KEY, source_id TEXT, native_identity TEXT, verifier TEXT);
    CREATE FUNCTION proof_record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO proof_effect (source_id, native_identity, verifier)
        VALUES (NEW.source_id, NEW.native_identity, NEW.verifier); RETURN NULL; END $$;
    CREATE TRIGGER proof_effect AFTER INSERT OR UPDATE ON builtin_password
        FOR EACH ROW EXECUTE FUNCTION proof_record();";
