//! Changes per second, from the `202` until they are verified on a real directory.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rekey_connectors::{Account, Change, Connector, Egress, Outcome, Stamp};
use rekey_vault::{Padding, Password, PrivateKey, PublicKey};
use serde_json::{Value, json};

use rekey_harness::{
    Connection, Info, Place, Result, Server, http, password::chance, read_accounts, text,
};

use crate::{load::percentile, operations::decrypt, seconds, table::Row};

/// The number of connections and of people: each connection has its own person, so that no change
/// waits for another.
const AT_ONCE: usize = 8;

pub(crate) async fn run(file: &str) -> Result<()> {
    let directory: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let people: Vec<String> = (1..=AT_ONCE).map(|n| format!("u{n}")).collect();

    let connector = rekey_connectors::kind("ldap")
        .ok_or("no ldap")?
        .open(attributes(&directory), &Egress::default())?;
    let base = text(&directory, "baseDn");
    let writes = raw(&connector, &people, &base, false).await?;
    let same = raw(&connector, &people, &base, true).await?;
    Row::per_second("extended operations only on slapd, {SSHA}, TLS, 8 at once", writes).print();
    Row::per_second("the work of a change in a bare loop, 8 at once", same).print();

    let place = Place::new(None)?;
    set_up(&place, &directory, &people)?;
    let server = Server::start(&place, &[]).await?;
    let infos = aggregate(&server, &people).await?;
    let spent = server.processor_seconds()?;
    let (rate, times) = changes(&server, &infos).await?;
    let spent = server.processor_seconds()? - spent;
    let figure = "202 to FINISHED and verified on slapd, 8 connections";
    Row::per_second(figure, rate).of(same).at_least(0.8);
    Row::new("the same, p99 of one change", percentile(&times, 99), " ms").print();
    let cost = spent * 1e6 / (rate * seconds().as_secs_f64());
    Row::new("processor time of a change", cost, " µs").print();

    let (_, times) = changes(&server, infos.get(..1).unwrap_or_default()).await?;
    let figure = "202 to FINISHED and verified, one at a time";
    Row::new(format!("{figure}, p50"), percentile(&times, 50), " ms").at_most(5.0);
    Row::new(format!("{figure}, p99"), percentile(&times, 99), " ms").at_most(20.0);
    Ok(())
}

fn attributes(directory: &Value) -> Value {
    json!({
        "host": text(directory, "host"),
        "port": directory.get("port"),
        "tls": "ldaps",
        "caCertificate": text(directory, "caCertificate"),
        "bindDn": text(directory, "bindDn"),
        "bindPassword": text(directory, "bindPassword"),
        "baseDn": text(directory, "baseDn"),
    })
}

/// A loop without rekey: only the writes, or with `whole` the work of a change, which is one
/// private-key operation, an observation, the write, and a second observation.
async fn raw(
    connector: &Arc<dyn Connector>,
    people: &[String],
    base: &str,
    whole: bool,
) -> Result<f64> {
    let key = Arc::new(PrivateKey::generate(Padding::Pkcs1v15)?);
    let public = PublicKey::from_spki(&key.public_spki()?)?;
    let clear = "Only-for-the-operation-1";
    let ciphertext = Arc::new(public.encrypt(Padding::Pkcs1v15, clear.as_bytes())?);
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for who in people {
        let (connector, key, ciphertext) = (connector.clone(), key.clone(), ciphertext.clone());
        let (done, dn) = (done.clone(), format!("uid={who},{base}"));
        tasks.push(tokio::spawn(async move {
            while started.elapsed() < seconds() {
                let password = Password::new(chance()?);
                let account =
                    Account { native_identity: &dn, stable_id: None, correlated_by: None };
                let mut before = Stamp::default();
                if whole {
                    let (key, ciphertext) = (key.clone(), ciphertext.clone());
                    tokio::task::spawn_blocking(move || decrypt(&key, &ciphertext)).await??;
                    before = connector.observe(&account).await?.stamp;
                }
                let change = Change { account, password: &password, salt: [0; 16] };
                let by = Instant::now() + Duration::from_secs(10);
                let outcome = connector.apply(&change, &before, by).await;
                if !matches!(outcome, Outcome::Applied) {
                    return Err(format!("{outcome:?}").into());
                }
                if whole && connector.observe(&account).await?.stamp == before {
                    return Err("nothing changed".into());
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let count = done.load(Ordering::Relaxed) as f64;
    Ok(count / started.elapsed().as_secs_f64())
}

fn set_up(place: &Place, directory: &Value, people: &[String]) -> Result<()> {
    let mut source = attributes(directory);
    if let Some(members) = source.as_object_mut() {
        let correlation = json!({"accountAttribute": "uid", "identityAttribute": "alias"});
        members.insert("correlation".into(), correlation);
    }
    let owner = text(&place.bootstrap, "adminUser");
    let site = json!({
        "identities": people.iter().map(|who| json!({"alias": who, "name": who})).collect::<Vec<_>>(),
        "sources": [{
            "name": "Directory", "connector": "ldap", "owner": owner, "features": ["PASSWORD"],
            "connectorAttributes": source,
        }],
    });
    // JSON is valid YAML.
    let file = place.folder().join("site.yaml");
    fs::write(&file, site.to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()])?;
    Ok(())
}

/// Aggregates the directory; returns the password information of each person.
async fn aggregate(server: &Server, people: &[String]) -> Result<Vec<Info>> {
    read_accounts(server, "Directory").await?;
    let mut connection = Connection::open(&server.address).await?;
    let headers = server.headers();
    let mut infos = Vec::new();
    for who in people {
        infos.push(Info::ask(&mut connection, &headers, who, "Directory").await?);
    }
    Ok(infos)
}

/// Runs changes one after another on each connection, each connection for a person of its own.
/// Returns the changes per second, and the sorted times from the `POST` to the answer that the
/// change has ended.
async fn changes(server: &Server, infos: &[Info]) -> Result<(f64, Vec<Duration>)> {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for info in infos {
        let mut connection = Connection::open(&server.address).await?;
        let headers = format!("{}Prefer: wait=30\r\n", server.headers());
        let info = info.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while started.elapsed() < seconds() {
                let body = info.change(&chance()?)?;
                let asked = Instant::now();
                let request = http::request("POST", "/v3/set-password", &headers, &body);
                let answer = connection.ask(&request).await?;
                if !answer.body.contains("FINISHED") {
                    return Err(answer.body.into());
                }
                times.push(asked.elapsed());
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let count = times.len() as f64;
    Ok((count / started.elapsed().as_secs_f64(), times))
}
