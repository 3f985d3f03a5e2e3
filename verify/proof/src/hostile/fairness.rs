//! Fairness between sources: a source that hangs, is slow or is flooded must delay no change on
//! another source, and slow aggregations of one owner must leave room for those of other owners.

use std::{
    fs,
    time::{Duration, Instant},
};

use rekey_harness::{
    Connection, Info, Place, Result, Server, begin_reading, password::chance, read_accounts,
    reading, request, text,
};
use serde_json::{Value, json};

use super::relay::{Manner, Relay};
use crate::targets::Targets;

/// The clients that change passwords on the healthy source, each one change after another.
const CLIENTS: usize = 4;
/// The duration of the undisturbed measurement.
const USUALLY: Duration = Duration::from_secs(10);
/// The duration of the measurement beside the troubled source: long enough for it to fail, to be
/// left alone and to be tried again.
const BESIDE: Duration = Duration::from_secs(30);
/// The pause of a client after a change. It keeps the number of measurements so low that the first
/// changes of all clients count at the 99th percentile.
const PAUSE: Duration = Duration::from_millis(500);
/// How much longer a change on the healthy source may take, at the 99th percentile.
const LATER: Duration = Duration::from_secs(1);
/// The interval between two readings of a status.
const POLL: Duration = Duration::from_millis(20);

/// The trouble of the other source.
struct Trouble {
    manner: Manner,
    /// The number of changes that wait for it.
    waiting: usize,
    /// Whether both sources form a sync group, for the people with an account on both.
    is_group: bool,
}

pub(super) async fn hung() -> Result<()> {
    run(Trouble { manner: Manner::Silent, waiting: 150, is_group: false }).await
}

pub(super) async fn slow() -> Result<()> {
    let manner = Manner::Slow(Duration::from_secs(3));
    run(Trouble { manner, waiting: 150, is_group: false }).await
}

pub(super) async fn flooded() -> Result<()> {
    let manner = Manner::Slow(Duration::from_millis(500));
    run(Trouble { manner, waiting: 400, is_group: false }).await
}

pub(super) async fn slow_member_of_a_group() -> Result<()> {
    let manner = Manner::Slow(Duration::from_secs(3));
    run(Trouble { manner, waiting: 60, is_group: true }).await
}

async fn run(trouble: Trouble) -> Result<()> {
    let mut site = Site::start(&trouble).await?;
    let usual = site.measure(USUALLY).await?;
    site.relay.behaves(trouble.manner);
    // All changes are pending when the workers start, as after a restart.
    site.restart(&[("REKEY_CHANGES__WORKERS", "0")]).await?;
    let mut connection = Connection::open(&site.server.address).await?;
    for info in &site.victims {
        accept(&mut connection, &site.server, info).await?;
    }
    site.restart(&[]).await?;
    let beside = site.measure(BESIDE).await?;
    println!(
        "  a change on the healthy source, p99: usually {usual:?}, beside {:?} with {} changes: {beside:?}",
        trouble.manner, trouble.waiting
    );
    if beside > usual + LATER {
        return Err(format!("p99 rose from {usual:?} to {beside:?}").into());
    }
    Ok(())
}

/// A rekey with a healthy PostgreSQL source, and a directory behind a relay.
struct Site {
    server: Server,
    relay: Relay,
    healthy: Vec<Info>,
    victims: Vec<Info>,
    place: Place,
}

impl Site {
    async fn start(trouble: &Trouble) -> Result<Self> {
        let targets = Targets::find()?;
        let relay = Relay::start(targets.directory.plain_address()).await?;
        let place = Place::new(None)?;
        let tag = tag()?;
        let names = |letter: char, count: usize| -> Vec<String> {
            (0..count).map(|number| format!("{tag}{letter}-{number}")).collect()
        };
        let (healthy, victims) = (names('h', CLIENTS), names('v', trouble.waiting));
        let initial = chance()?;
        targets.directory.add(&victims, &initial).await?;
        targets.postgres.add(&healthy, &initial).await?;
        let mut groups = json!([]);
        if trouble.is_group {
            targets.postgres.add(&victims, &initial).await?;
            groups = json!([{"name": "Both", "policy": "Both", "sources": ["Healthy", "Other"]}]);
        }
        let people = healthy.iter().chain(&victims);
        let people: Vec<Value> = people.map(|who| json!({"alias": who, "name": who})).collect();
        let source = |name: &str, connector: &str, attributes: Value| {
            json!({
                "name": name, "connector": connector, "features": ["PASSWORD"],
                "owner": text(&place.bootstrap, "adminUser"), "connectorAttributes": attributes,
            })
        };
        let port = targets.postgres.port();
        let filter = format!("(uid={tag}v-*)");
        let site = json!({
            "identities": people,
            "policies": [{"name": "Both", "minLength": 8}],
            "sources": [
                source("Healthy", "postgresql", targets.postgres.attributes(port)),
                source("Other", "ldap", targets.directory.plain_attributes(relay.port(), &filter)),
            ],
            "syncGroups": groups,
        });
        apply(&place, &site)?;
        let server = Server::start(&place, &[]).await?;
        read_accounts(&server, "Healthy").await?;
        read_accounts(&server, "Other").await?;
        let healthy = infos(&server, &healthy, "Healthy").await?;
        // A change of a sync group is requested on its other member, the healthy source.
        let of = if trouble.is_group { "Healthy" } else { "Other" };
        let victims = infos(&server, &victims, of).await?;
        Ok(Self { server, relay, healthy, victims, place })
    }

    /// Kills the server, and starts it with other settings.
    async fn restart(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        self.server.kill()?;
        self.server = Server::start(&self.place, settings).await?;
        Ok(())
    }

    /// Measures how long a change on the healthy source takes; returns the 99th percentile.
    async fn measure(&self, span: Duration) -> Result<Duration> {
        let clients = self.healthy.iter().map(|info| self.client(info, span));
        let times = futures_util::future::try_join_all(clients).await?;
        let mut times: Vec<_> = times.into_iter().flatten().collect();
        times.sort();
        let place = (times.len() * 99).div_ceil(100);
        Ok(times.get(place.saturating_sub(1)).copied().ok_or("nothing was measured")?)
    }

    async fn client(&self, info: &Info, span: Duration) -> Result<Vec<Duration>> {
        let mut connection = Connection::open(&self.server.address).await?;
        let mut times = Vec::new();
        let until = Instant::now() + span;
        while Instant::now() < until {
            let begun = Instant::now();
            let id = accept(&mut connection, &self.server, info).await?;
            ended(&mut connection, &self.server, &id).await?;
            times.push(begun.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
        Ok(times)
    }
}

/// Twenty sources of one owner answer so slowly that their aggregations take long; a source of
/// another owner must be read before any of them has been.
pub(super) async fn aggregations_of_one_owner() -> Result<()> {
    let targets = Targets::find()?;
    let place = Place::new(None)?;
    let tag = tag()?;
    targets.directory.add(&[format!("{tag}a-1")], &chance()?).await?;
    let filter = format!("(uid={tag}a-*)");
    let (mut relays, mut sources) = (Vec::new(), Vec::new());
    let names: Vec<_> = (0..20).map(|number| format!("Slow {number}")).collect();
    let owned = names.iter().map(|name| (name.as_str(), "one"));
    for (name, owner) in owned.chain([("Z", "another")]) {
        let relay = Relay::start(targets.directory.plain_address()).await?;
        if owner == "one" {
            relay.behaves(Manner::Slow(Duration::from_secs(3)));
        }
        sources.push(json!({
            "name": name, "connector": "ldap", "features": ["PASSWORD"], "owner": owner,
            "connectorAttributes": targets.directory.plain_attributes(relay.port(), &filter),
        }));
        relays.push(relay);
    }
    let person = |who: &str| json!({"alias": who, "name": who});
    apply(&place, &json!({"identities": [person("one"), person("another")], "sources": sources}))?;
    let server = Server::start(&place, &[]).await?;
    let mut slow = Vec::new();
    for name in &names {
        slow.push(begin_reading(&server, name).await?);
    }
    // As many aggregations are under way by then as may run at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let quick = begin_reading(&server, "Z").await?;
    loop {
        if let Some(status) = reading(&server, &quick).await? {
            return match text(&status, "completionStatus").as_str() {
                "SUCCESS" => Ok(()),
                _ => Err(format!("the other owner's source was not read: {status}").into()),
            };
        }
        for task in &slow {
            if let Some(status) = reading(&server, task).await? {
                return Err(format!("another owner's source waited for this one: {status}").into());
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A random prefix, so that names differ between runs.
fn tag() -> Result<String> {
    Ok(format!("f{:06x}", u32::from_le_bytes(rekey_vault::random()?) >> 8))
}

pub(super) fn apply(place: &Place, site: &Value) -> Result<()> {
    // JSON is valid YAML.
    let file = place.folder().join("site.yaml");
    fs::write(&file, site.to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()]).map(drop)
}

async fn infos(server: &Server, names: &[String], source: &str) -> Result<Vec<Info>> {
    let mut connection = Connection::open(&server.address).await?;
    let mut infos = Vec::new();
    for who in names {
        infos.push(Info::ask(&mut connection, &server.headers(), who, source).await?);
    }
    Ok(infos)
}

/// Requests a change, and returns its id.
async fn accept(connection: &mut Connection, server: &Server, info: &Info) -> Result<String> {
    let body = info.change(&chance()?)?;
    let answer =
        connection.ask(&request("POST", "/v3/set-password", &server.headers(), &body)).await?;
    if answer.status != 202 {
        return Err(format!("{}: {}", answer.status, answer.body).into());
    }
    Ok(text(&serde_json::from_str(&answer.body)?, "requestId"))
}

/// Waits until a change has finished; a failed change is an error.
async fn ended(connection: &mut Connection, server: &Server, id: &str) -> Result<()> {
    let path = format!("/v3/password-change-status/{id}");
    let asked = request("GET", &path, &server.headers(), "");
    loop {
        let answer = connection.ask(&asked).await?;
        let status: Value = serde_json::from_str(&answer.body)?;
        match text(&status, "state").as_str() {
            "FINISHED" => return Ok(()),
            "FAILED" => return Err(format!("a change on the healthy source: {status}").into()),
            _ => tokio::time::sleep(POLL).await,
        }
    }
}
