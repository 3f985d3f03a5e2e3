//! The store in PostgreSQL, on the same machine.

use std::{
    fs,
    time::{Duration, Instant},
};

use rekey::model::source::IDENTITY_NOW;
use rekey_harness::{
    Connection, Place, Result, Server, fresh_database, http, password::chance, text,
};
use serde_json::json;

use crate::{
    accept::ACCEPTS_ONLY,
    accounts,
    fill::{Filled, fill},
    null_ldap, seconds,
    table::Row,
};

const NULL_LDAP: &str = "Null directory";
/// The number of connections over all nodes; each changes the passwords of its own people.
const AT_ONCE: usize = 64;
/// The number of people whose passwords are changed.
const PEOPLE: u64 = 1024;

pub(crate) async fn run(server: &str) -> Result<()> {
    accepts(server).await?;
    let one = changes(server, 1).await?;
    let figure = "PostgreSQL: 202 to FINISHED on a directory that does nothing";
    Row::per_second(format!("{figure}, 64 connections"), one).at_least(1000.0);
    let two = changes(server, 2).await?;
    Row::per_second("PostgreSQL: the same on two nodes", two).of(one).at_least(1.0);
    Ok(())
}

async fn accepts(server: &str) -> Result<()> {
    let place = Place::new(Some(fresh_database(server).await?))?;
    let filled = fill(&place, IDENTITY_NOW, accounts() / 10).await?;
    let server = Server::start(&place, &[ACCEPTS_ONLY]).await?;
    let spent = server.processor_seconds()?;
    let next = filled.accepts(&server);
    let accepts = http::load(&server.address, 64, seconds(), 202, next).await?;
    let spent = server.processor_seconds()? - spent;
    Row::per_second("PostgreSQL: accepts, durable, 64 connections", accepts).at_least(1800.0);
    let cost = spent * 1e6 / (accepts * seconds().as_secs_f64());
    Row::new("PostgreSQL: rekey's processor time of an accept", cost, " µs").print();
    Ok(())
}

/// Whole changes per second, from the `POST` to `FINISHED`.
async fn changes(server: &str, nodes: usize) -> Result<f64> {
    let place = Place::new(Some(fresh_database(server).await?))?;
    let site = json!({"sources": [{
        "name": NULL_LDAP, "connector": "ldap", "owner": text(&place.bootstrap, "adminUser"),
        "features": ["PASSWORD"], "connectorAttributes": null_ldap::start().await?,
    }]});
    // JSON is valid YAML.
    let file = place.folder().join("site.yaml");
    fs::write(&file, site.to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()])?;
    let filled = fill(&place, NULL_LDAP, PEOPLE).await?;
    let mut running = Vec::new();
    for _ in 0..nodes {
        running.push(Server::start(&place, &[("REKEY_CHANGES__PER_SOURCE", "32")]).await?);
    }
    let started = Instant::now();
    let mut tasks = Vec::new();
    for (at, server) in (0..AT_ONCE).zip(running.iter().cycle()) {
        tasks.push(tokio::spawn(one_after_another(
            Connection::open(&server.address).await?,
            server.headers(),
            filled.clone(),
            at,
            started,
        )));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

async fn one_after_another(
    mut connection: Connection,
    headers: String,
    filled: Filled,
    at: usize,
    started: Instant,
) -> Result<u32> {
    let headers = format!("{headers}Prefer: wait=30\r\n");
    let time: Duration = seconds();
    let mut count = 0;
    for who in (at as u64..PEOPLE).step_by(AT_ONCE).cycle() {
        if started.elapsed() >= time {
            break;
        }
        let answer = connection.ask(&filled.change(&headers, who, &chance()?)?).await?;
        if !answer.body.contains("FINISHED") {
            return Err(answer.body.into());
        }
        count += 1;
    }
    Ok(count)
}
