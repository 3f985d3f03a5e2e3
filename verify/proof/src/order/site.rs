//! The nodes, the people, and the accounts of each.

use std::fs;

use rekey_harness::{Connection, Info, Place, Result, Server, fresh_database, read_accounts, text};
use serde_json::{Value, json};

use super::Nodes;
use crate::targets::Targets;

/// The kinds of accounts that are raced for.
pub(super) const KINDS: [&str; 4] = ["built-in", "directory", "postgres", "sync group"];

/// The parts of the site that every race uses.
pub(super) struct Site {
    pub(super) targets: Targets,
    /// The address of each node.
    pub(super) addresses: Vec<String>,
    /// The headers of a request by the API client; the token is valid on every node.
    pub(super) headers: String,
    /// The prefix of all names in this run.
    pub(super) tag: String,
}

/// One account that is raced for, or one person's accounts in a sync group.
pub(super) struct RacedAccount {
    /// An index into [`KINDS`].
    pub(super) kind: usize,
    /// The person's name, which is also the name of each account.
    pub(super) who: String,
    /// The accounts that a request may name: each member of a group.
    pub(super) infos: Vec<Info>,
}

/// Starts nodes on one new PostgreSQL store; they share a folder, and so the master key.
pub(super) async fn start(targets: &Targets, count: u64, broken: &str) -> Result<(Place, Nodes)> {
    let place = Place::new(Some(fresh_database(&targets.stores).await?))?;
    let mut nodes = Vec::new();
    for number in 0..count {
        let pause = pause_file(&place, number).display().to_string();
        let settings = settings(&pause, broken);
        nodes.push(Server::start(&place, &settings).await?);
    }
    Ok((place, nodes))
}

/// The settings with which every node is started, also after a kill.
pub(super) fn settings<'a>(pause: &'a str, broken: &'a str) -> [(&'a str, &'a str); 3] {
    [("REKEY_PAUSE_AT", pause), ("REKEY_PROOF", broken), ("REKEY_CHANGES__DEADLINE", DEADLINE)]
}

/// A change that takes longer fails, and a failed change is a violation here.
const DEADLINE: &str = "5m";

/// The file from which a node reads the point at which to stop itself.
pub(super) fn pause_file(place: &Place, node: u64) -> std::path::PathBuf {
    place.folder().join(format!("node-{node}.pause"))
}

impl Site {
    /// Creates the people and their accounts, connects the systems, and fetches everybody's keys.
    pub(super) async fn fill(
        targets: Targets,
        place: &Place,
        server: &Server,
        addresses: Vec<String>,
        accounts: usize,
    ) -> Result<(Self, Vec<RacedAccount>)> {
        let tag = format!(
            "o{:04x}",
            crate::seeded_rng::SeededRng::of(crate::seeded_rng::SeededRng::any_seed())
                .below(65_536)
        );
        let names = |letter: &str| -> Vec<String> {
            (0..accounts).map(|number| format!("{tag}{letter}{number}")).collect()
        };
        let [built_in, directory, postgres, group] = ["b", "d", "w", "g"].map(names);
        // This password is never used: each account's first race replaces it.
        let initial = rekey_harness::password::chance()?;
        targets.directory.add(&[directory.clone(), group.clone()].concat(), &initial).await?;
        targets.postgres.add(&[postgres.clone(), group.clone()].concat(), &initial).await?;

        let source = |name: &str, connector: &str, attributes: Value| {
            json!({
                "name": name, "connector": connector, "features": ["PASSWORD"],
                "owner": text(&place.bootstrap, "adminUser"), "connectorAttributes": attributes,
            })
        };
        let (ldaps, port) = (targets.directory.tls_port(), targets.postgres.port());
        let people = [&built_in, &directory, &postgres, &group].into_iter().flatten();
        let site = json!({
            "identities": people.map(|who| json!({"alias": who, "name": who})).collect::<Vec<_>>(),
            "sources": [
                // Bound as the manager, so that no password history of the directory refuses a late
                // write.
                source("Directory", "ldap", targets.directory.attributes_of_manager(ldaps, &format!("(uid={tag}d*)"))),
                source("Group directory", "ldap", targets.directory.attributes(ldaps, &format!("(uid={tag}g*)"))),
                source("Database", "postgresql", targets.postgres.attributes(port)),
                source("Group database", "postgresql", targets.postgres.attributes(port)),
            ],
            "policies": [{"name": "Any"}],
            "syncGroups": [{"name": "Everything", "policy": "Any",
                "sources": ["IdentityNow", "Group directory", "Group database"]}],
        });
        let file = place.folder().join("site.yaml");
        fs::write(&file, site.to_string())?;
        place.rekey(&["apply", "-f", &file.display().to_string()])?;
        for name in ["Directory", "Group directory", "Database", "Group database"] {
            read_accounts(server, name).await?;
        }

        let mut connection = Connection::open(&server.address).await?;
        let headers = server.headers();
        let mut raced_accounts = Vec::new();
        for (kind, (people, sources)) in [
            (built_in, &["IdentityNow"][..]),
            (directory, &["Directory"]),
            (postgres, &["Database"]),
            (group, &["IdentityNow", "Group directory", "Group database"]),
        ]
        .into_iter()
        .enumerate()
        {
            for who in people {
                let mut infos = Vec::new();
                for source in sources {
                    infos.push(Info::ask(&mut connection, &headers, &who, source).await?);
                }
                raced_accounts.push(RacedAccount { kind, who, infos });
            }
        }
        Ok((Self { targets, addresses, headers, tag }, raced_accounts))
    }
}
