//! A rekey with a source for each kind of fault, and a proxy in front of each source.

use std::{fs, sync::Arc, time::Duration};

use rekey_connectors::conformance::{Moment, Proxy, Trouble, Write};
use rekey_harness::{Connection, Info, Place, Result, Server, fresh_database, read_accounts, text};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use super::{down::Absence, wire::Case};
use crate::{seeded_rng::SeededRng, targets::Targets};

/// A rekey and its connected systems.
pub(super) struct Site {
    pub(super) targets: Arc<Targets>,
    pub(super) server: Server,
    /// The store, read directly and only for checks.
    pub(super) store: Client,
    /// The folder of the server's files, kept while the server runs.
    _place: Place,
}

/// A person with an account of the same name.
pub(super) struct Person {
    pub(super) who: String,
    pub(super) info: Info,
}

/// A target, and the account as which rekey signs in to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// OpenLDAP, with a password policy that is enforced for rekey.
    Directory,
    /// OpenLDAP with a policy that is not enforced for rekey: only rekey itself protects the
    /// password history.
    Manager,
    /// PostgreSQL.
    Postgres,
}

/// Every kind of fault, in groups: the faults of a group follow one another, and the groups run
/// concurrently.
const TROUBLES: [&[Trouble]; 4] = [
    &[Trouble::Bandwidth(400), Trouble::Latency(Duration::from_secs(2)), Trouble::Slices],
    &[Trouble::Cut, Trouble::SlowClose(Duration::from_secs(3))],
    &[Trouble::Reset],
    &[Trouble::Silence],
];
/// The moments at which each target has faults. The manager's only risk is a lost answer.
const PLACES: [(System, &[Moment]); 3] = [
    (System::Directory, &[Moment::Before, Moment::During, Moment::After]),
    (System::Manager, &[Moment::After]),
    (System::Postgres, &[Moment::Before, Moment::During, Moment::After]),
];

impl System {
    /// How the proxy recognises the target's write among everything else that is sent to it.
    pub(super) fn write(self) -> Write {
        match self {
            // Only a message with the password is this long: see `wire::password`.
            Self::Directory | Self::Manager => Write::Long(230),
            // A `COMMIT` as a simple query has this length.
            Self::Postgres => Write::Exactly(12),
        }
    }

    async fn proxy(self, targets: &Targets) -> Proxy {
        let upstream = match self {
            Self::Directory | Self::Manager => targets.directory.address(),
            Self::Postgres => targets.postgres.address(),
        };
        Proxy::start("127.0.0.1", upstream).await
    }

    fn source(
        self,
        targets: &Targets,
        name: &str,
        port: u16,
        owner: &str,
        deadline: &str,
    ) -> Value {
        let filter = format!("(uid={name}-*)");
        let attributes = match self {
            Self::Directory => targets.directory.attributes(port.into(), &filter),
            Self::Manager => targets.directory.attributes_of_manager(port.into(), &filter),
            Self::Postgres => targets.postgres.attributes(port.into()),
        };
        let connector = if self == Self::Postgres { "postgresql" } else { "ldap" };
        json!({
            "name": name, "connector": connector, "features": ["PASSWORD"], "owner": owner,
            "deadline": deadline, "connectorAttributes": attributes,
        })
    }
}

/// Starts the site; each fault occurs `each` times, each time for another person.
pub(super) async fn start(
    targets: Arc<Targets>,
    each: usize,
    broken: &str,
) -> Result<(Site, Vec<Case>, Vec<Absence>)> {
    let place = Place::new(Some(fresh_database(&targets.stores).await?))?;
    let server = Server::start(&place, &[("REKEY_PROOF", broken)]).await?;
    let tag = format!("f{:04x}", SeededRng::of(SeededRng::any_seed()).below(65_536));
    let mut plans = Vec::new();
    for (system, moments) in PLACES {
        for moment in moments {
            plans.extend(TROUBLES.map(|troubles| (system, Some((troubles, *moment)))));
        }
        plans.extend([(system, None), (system, None)]);
    }
    let (mut planned, mut sources) = (Vec::new(), Vec::new());
    let (mut entries, mut roles) = (Vec::new(), Vec::new());
    for (number, (system, plan)) in plans.into_iter().enumerate() {
        let (name, proxy) = (format!("{tag}x{number}"), system.proxy(&targets).await);
        let owner = text(&place.bootstrap, "adminUser");
        // A fault that passes needs a long deadline; an unreachable target needs a short one, whose
        // end the proof can wait for.
        let deadline = if plan.is_some() { "5m" } else { "1m" };
        sources.push(system.source(&targets, &name, proxy.port(), &owner, deadline));
        let count = plan.map_or(1, |(troubles, _)| troubles.len() * each);
        let people: Vec<String> = (0..count).map(|person| format!("{name}-{person}")).collect();
        let accounts = if system == System::Postgres { &mut roles } else { &mut entries };
        accounts.extend(people.clone());
        planned.push((system, plan, name, proxy, people));
    }
    let initial = rekey_harness::password::chance()?;
    targets.directory.add(&entries, &initial).await?;
    targets.postgres.add(&roles, &initial).await?;
    let everybody = entries.iter().chain(&roles);
    let identities: Vec<Value> = everybody.map(|who| json!({"alias": who, "name": who})).collect();
    let file = place.folder().join("site.yaml");
    fs::write(&file, json!({"identities": identities, "sources": sources}).to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()])?;

    let mut connection = Connection::open(&server.address).await?;
    let (mut cases, mut absences) = (Vec::new(), Vec::new());
    for (system, plan, name, proxy, names) in planned {
        read_accounts(&server, &name).await?;
        let mut people = Vec::new();
        for who in names {
            let info = Info::ask(&mut connection, &server.headers(), &who, &name).await?;
            people.push(Person { who, info });
        }
        if let Some((troubles, moment)) = plan {
            cases.push(Case { system, troubles, moment, proxy, people });
        } else {
            let is_too_long = absences.len().is_multiple_of(2);
            let person = people.pop().ok_or("nobody")?;
            absences.push(Absence { system, is_too_long, source: name, proxy, person });
        }
    }
    let (store, driver) = tokio_postgres::connect(&place.store_url(), NoTls).await?;
    tokio::spawn(driver);
    Ok((Site { targets, server, store, _place: place }, cases, absences))
}

impl Site {
    /// The number of attempts at a change.
    pub(super) async fn attempts(&self, id: &str) -> Result<i64> {
        let sql = "SELECT attempt FROM password_change WHERE id = $1";
        Ok(self.store.query_one(sql, &[&id]).await?.get(0))
    }

    /// Whether a person can sign in to the target with a password.
    pub(super) async fn signs_in(&self, system: System, who: &str, password: &str) -> Result<bool> {
        match system {
            System::Directory | System::Manager => {
                self.targets.directory.signs_in(who, password).await
            }
            System::Postgres => self.targets.postgres.signs_in(who, password).await,
        }
    }
}
