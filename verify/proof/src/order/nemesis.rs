//! The nemesis of the nodes: it stops and continues them, and kills one.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use rekey_harness::{Place, Result, Server};

use super::{Nodes, Race, site};
use crate::seeded_rng::SeededRng;

/// A claim lasts 25 s: a node that is stopped for longer than that loses all of its claims.
const PAST_THE_LEASE: (Duration, Duration) = (Duration::from_secs(32), Duration::from_secs(45));
/// The time within which the claims of a dead node must have been taken over and executed.
const TAKE_OVER: Duration = Duration::from_secs(45);
/// The points of a proof build at which a node stops itself, between its last check and the write.
const POINTS: [&str; 2] = ["ldap.write", "postgresql.commit"];

/// Stops, continues and kills nodes, and counts what it did.
pub(super) struct Nemesis {
    nodes: Nodes,
    place: Place,
    rng: SeededRng,
    short: usize,
    long: usize,
    exact: Vec<&'static str>,
    take_overs: Vec<Duration>,
}

impl Nemesis {
    pub(super) fn new(nodes: Nodes, place: Place, rng: SeededRng) -> Self {
        let (exact, take_overs) = (Vec::new(), Vec::new());
        Self { nodes, place, rng, short: 0, long: 0, exact, take_overs }
    }

    /// Runs its programme, and repeats it until there were enough races.
    pub(super) async fn run(&mut self, race: &Race) -> Result<()> {
        loop {
            for point in POINTS {
                self.short_stops().await?;
                self.stop_at(point).await?;
            }
            self.short_stops().await?;
            self.kill_one(race).await?;
            if (0..site::KINDS.len()).all(|kind| race.has_enough(kind)) {
                return Ok(());
            }
            self.short_stops().await?;
            let node = self.rng.below(self.nodes.len());
            let long = self.rng.between(PAST_THE_LEASE.0, Duration::from_mins(1));
            self.stop(node, long).await?;
            self.long += 1;
        }
    }

    /// A summary of what it did.
    pub(super) fn said(&self) -> String {
        format!(
            "{} short stops, {} of more than 30 s; stopped right before the write: {:?}; after a kill, what was being carried out had ended within {:?}",
            self.short, self.long, self.exact, self.take_overs
        )
    }

    /// Several stops that a client hardly notices, and one that it does.
    async fn short_stops(&mut self) -> Result<()> {
        for least in [0, 0, 0, 500, 500, 2_000] {
            let least = Duration::from_millis(least);
            let time = self.rng.between(least, least * 2 + Duration::from_millis(300));
            let node = self.rng.below(self.nodes.len());
            self.stop(node, time).await?;
            self.short += 1;
            let calm = self.rng.between(Duration::from_millis(50), Duration::from_millis(800));
            tokio::time::sleep(calm).await;
        }
        Ok(())
    }

    async fn stop(&mut self, node: usize, time: Duration) -> Result<()> {
        let server = self.nodes.get(node).ok_or("no such node")?;
        signal(server, "STOP")?;
        tokio::time::sleep(time).await;
        signal(server, "CONT")
    }

    /// Makes a node stop itself between its last check and the write, and continues it long after
    /// its claim has lapsed.
    async fn stop_at(&mut self, point: &'static str) -> Result<()> {
        let node = self.rng.below(self.nodes.len());
        let file = site::pause_file(&self.place, node as u64);
        fs::write(&file, point)?;
        let server = self.nodes.get(node).ok_or("no such node")?;
        let begun = Instant::now();
        while !is_stopped(server)? {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(format!(
                    "no write came to {point} within 30 s, or this is no proof build of rekey"
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let time = self.rng.between(PAST_THE_LEASE.0, PAST_THE_LEASE.1);
        tokio::time::sleep(time).await;
        signal(server, "CONT")?;
        self.exact.push(point);
        Ok(())
    }

    /// Kills a node while it executes changes; other nodes must take them over.
    async fn kill_one(&mut self, race: &Race) -> Result<()> {
        let node = self.rng.below(self.nodes.len());
        let server = self.nodes.get_mut(node).ok_or("no such node")?;
        server.kill()?;
        let (killed, claimed) = (race.ledger.now().await?, race.ledger.claimed().await?);
        tokio::time::sleep(TAKE_OVER).await;
        let last = race.ledger.ended_after(killed, &claimed).await?;
        println!(
            "a node was killed: {} requests were being carried out, by all nodes; the last ended {last:.1?} later",
            claimed.len()
        );
        if last > TAKE_OVER {
            race.blame(&format!("{last:?} after a node was killed, its work was still under way"));
        }
        self.take_overs.push(last);
        let address = server.address.clone();
        let pause = site::pause_file(&self.place, node as u64).display().to_string();
        *server = Server::start_at(&self.place, &address, &site::settings(&pause, "")).await?;
        Ok(())
    }
}

fn signal(server: &Server, name: &str) -> Result<()> {
    let done = Command::new("kill").args(["-s", name, &server.id().to_string()]).status()?;
    if done.success() { Ok(()) } else { Err(format!("a node cannot be sent {name}").into()) }
}

/// Whether the process is stopped: state T of proc(5).
fn is_stopped(server: &Server) -> Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    Ok(stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}
