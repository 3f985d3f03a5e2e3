//! Repeated races for one account.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rekey_harness::{Connection, Result, password::chance, request, text};
use serde_json::Value;

use super::{Race, site::RacedAccount};
use crate::seeded_rng::SeededRng;

/// How long a client waits for a node before it tries another one: a stopped node does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause of a client after a `503`.
const AGAIN: Duration = Duration::from_millis(500);

/// Races until there were enough pairs and the nemesis has finished.
pub(super) async fn run(race: Arc<Race>, raced: RacedAccount, mut rng: SeededRng) -> Result<()> {
    let mut clients = [Client::default(), Client::default()];
    while race.goes_on(raced.kind) {
        let nodes = race.site.addresses.len();
        let one = rng.below(nodes);
        let other = (one + 1 + rng.below(nodes - 1)) % nodes;
        let [first, second] = &mut clients;
        let mut asked = HashMap::new();
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let password = chance()?;
            let info = rng.one_of(&raced.infos).ok_or("nothing to change")?;
            bodies.push((info.change(&password)?, password));
        }
        let [(body, password), (other_body, other_password)] = bodies.as_slice() else {
            return Err("not a pair".into());
        };
        // Both requests start at nearly the same time; in one of four races the second one starts
        // up to 60 ms later, while the first is being executed.
        let later = if rng.below(4) == 0 { rng.below(60) as u64 } else { 0 };
        let (a, b) = tokio::join!(first.change(&race, one, body), async {
            tokio::time::sleep(Duration::from_millis(later)).await;
            second.change(&race, other, other_body).await
        });
        asked.insert(a?, password.clone());
        asked.insert(b?, other_password.clone());
        judge(&race, &raced, &asked).await?;
        if let Some(done) = race.done.get(raced.kind) {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Once both changes have ended, checks that the later one is in force, and that the earlier one
/// was applied before it or superseded.
async fn judge(race: &Race, raced: &RacedAccount, asked: &HashMap<String, String>) -> Result<()> {
    let ids: Vec<String> = asked.keys().cloned().collect();
    race.ledger.ended(&ids).await?;
    let entries = race.ledger.in_order(&ids).await?;
    let [earlier, last] = entries.as_slice() else {
        race.blame(&format!("{}: {} of two accepted requests are there", raced.who, entries.len()));
        return Ok(());
    };
    if last.state != 1 {
        race.blame(&format!(
            "{}: the last one, {}, ended with {}",
            raced.who, last.id, last.errors
        ));
    }
    let names_it = |error: &Value| {
        error
            .as_str()
            .is_some_and(|error| error.ends_with(&format!("superseded by request {}", last.id)))
    };
    let reasons: Vec<Value> = serde_json::from_str(&earlier.errors)?;
    if earlier.state != 1 && (reasons.is_empty() || !reasons.iter().all(names_it)) {
        race.blame(&format!("{}: {} ended with {}", raced.who, earlier.id, earlier.errors));
    }
    let password = asked.get(&last.id).ok_or("a request nobody made")?;
    for (system, is_in_force) in in_force(race, raced, password).await? {
        if !is_in_force {
            race.blame(&format!(
                "{} on the {system}: the password accepted last ({}, place {}) is not in force; place {} was before it",
                raced.who, last.id, last.seq, earlier.seq
            ));
        }
    }
    Ok(())
}

/// Returns, for each system of the raced account, whether the person can sign in with the password.
async fn in_force(
    race: &Race,
    raced: &RacedAccount,
    password: &str,
) -> Result<Vec<(&'static str, bool)>> {
    let (targets, mut found) = (&race.site.targets, Vec::new());
    if raced.kind == 0 || raced.kind == 3 {
        let verifier = race.ledger.built_in(&raced.who).await?;
        found.push(("built-in source", crate::targets::is_verifier_of(&verifier, password).await?));
    }
    if raced.kind == 1 || raced.kind == 3 {
        found.push(("directory", targets.directory.signs_in(&raced.who, password).await?));
    }
    if raced.kind == 2 || raced.kind == 3 {
        found.push(("postgres", targets.postgres.signs_in(&raced.who, password).await?));
    }
    Ok(found)
}

/// A client that repeats the identical body, so that a retry is the same request.
#[derive(Default)]
struct Client {
    connections: HashMap<usize, Connection>,
}

impl Client {
    /// Sends the request until a node has accepted it; returns the `requestId`.
    async fn change(&mut self, race: &Race, mut node: usize, body: &str) -> Result<String> {
        let asked = request("POST", "/v3/set-password", &race.site.headers, body);
        loop {
            match tokio::time::timeout(PATIENCE, self.ask(race, node, &asked)).await {
                Ok(Ok((202, answer))) => {
                    let answer: Value = serde_json::from_str(&answer)?;
                    return Ok(text(&answer, "requestId"));
                }
                Ok(Ok((503, _))) => tokio::time::sleep(AGAIN).await,
                Ok(Ok((status, answer))) => {
                    race.blame(&format!("set-password was answered {status}: {answer}"));
                    tokio::time::sleep(AGAIN).await;
                }
                // The node is stopped or dead.
                Ok(Err(_)) | Err(_) => {
                    self.connections.remove(&node);
                    node = (node + 1) % race.site.addresses.len();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn ask(&mut self, race: &Race, node: usize, asked: &[u8]) -> Result<(u16, String)> {
        // The connection is removed while in use: if this call is cancelled, a late answer cannot
        // be taken for the next one.
        let mut connection = match self.connections.remove(&node) {
            Some(connection) => connection,
            None => Connection::open(race.site.addresses.get(node).ok_or("no such node")?).await?,
        };
        let answer = connection.ask(asked).await?;
        self.connections.insert(node, connection);
        Ok((answer.status, answer.body))
    }
}
