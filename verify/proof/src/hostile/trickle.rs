//! Directories that list an entry every 8 s must delay no aggregation of another source.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rekey_harness::{Place, Result, Server, begin_reading, read_accounts, reading};
use serde_json::json;

use super::{
    directory::{Attack, Hostile},
    fairness::apply,
    victim::PERSON,
};

/// How much later an aggregation may end beside the slow ones than alone.
const LATER: Duration = Duration::from_secs(5);

pub(super) async fn of_one_owner() -> Result<()> {
    run(&["good"]).await
}

pub(super) async fn of_four_owners() -> Result<()> {
    run(&["one", "two", "three", "four"]).await
}

/// Compares an aggregation alone with one beside a slow source of each owner.
async fn run(owners: &[&str]) -> Result<()> {
    let slow = Hostile::start(Attack::Trickles).await?;
    slow.attacks.store(true, Ordering::Relaxed);
    let good = Hostile::start(Attack::Trickles).await?;
    let source = |name: &str, owner: &str, directory: &Hostile| {
        json!({
            "name": name, "connector": "ldap", "owner": owner, "features": ["PASSWORD"],
            "connectorAttributes": directory.attributes(),
        })
    };
    let mut sources = vec![source("Good", "good", &good)];
    sources.extend(owners.iter().map(|owner| source(&format!("Slow {owner}"), owner, &slow)));
    let people = ["good", PERSON].iter().chain(owners.iter().filter(|owner| **owner != "good"));
    let people: Vec<_> = people.map(|who| json!({"alias": who, "name": who})).collect();
    let place = Place::new(None)?;
    apply(&place, &json!({"identities": people, "sources": sources}))?;
    let server = Server::start(&place, &[]).await?;
    let begun = Instant::now();
    read_accounts(&server, "Good").await?;
    let alone = begun.elapsed();
    let mut tasks = Vec::new();
    for owner in owners {
        tasks.push(begin_reading(&server, &format!("Slow {owner}")).await?);
    }
    // As many aggregations are under way by then as may run at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    let read = tokio::time::timeout(alone + LATER, read_accounts(&server, "Good")).await;
    read.map_err(|_| {
        format!("alone it ends after {alone:?}, beside them not in {:?}", alone + LATER)
    })??;
    println!("  an aggregation alone {alone:?}, beside {}: {:?}", owners.len(), begun.elapsed());
    for task in tasks {
        if let Some(ended) = reading(&server, &task).await? {
            return Err(format!("the slow source was not slow: {ended}").into());
        }
    }
    Ok(())
}
