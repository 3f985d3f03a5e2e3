//! `kill -9` under load, repeatedly, checked against a model.
//!
//! 1. A rekey with every kind of connected system is set up: [`crate::site`].
//! 2. Clients change passwords continuously, and a [`model`] records what they sent and received.
//! 3. The server is killed, by the proof at a random time or by itself at a named point ([`kill`]),
//!    and started again, in each cycle.
//! 4. In the end it runs undisturbed until every request has ended; then its state is compared with
//!    what was promised.
//!
//! With `--control` the server answers `202` before it commits: the check must then find that
//! requests were lost.

use std::{
    collections::BTreeMap,
    env,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use rekey_harness::{Place, Result, Rows, Server, fresh_database, place::binary};

use self::kill::Kill;
use crate::{
    model::{
        self, Model,
        check::{self, Finding},
        facts::Facts,
        load::{self, Load},
    },
    site::{self, Targets, history::Since},
};

mod kill;

/// How long it goes on, and on what.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the server is killed.
    #[arg(long, default_value_t = 200)]
    cycles: usize,
    /// Where rekey keeps what it knows; PostgreSQL is the one that `REKEY_TEST_POSTGRES` names.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// Have the server break its promise, and see whether that is found.
    #[arg(long)]
    control: bool,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Store {
    Postgres,
    Sqlite,
}

/// The time after which a change that cannot be made fails.
const DEADLINE: Duration = Duration::from_secs(100);
/// The grace after the deadline within which every change must have ended.
const GRACE: Duration = Duration::from_secs(30);
/// The time after which a server is killed that did not reach its point.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The number of further attempts at a point at which no server has died yet.
const CHANCES: usize = 8;

pub(crate) async fn run(options: Options) -> Result<()> {
    let targets = Targets::named()?;
    let url = match options.store {
        Store::Postgres => Some(fresh_database(&env::var("REKEY_TEST_POSTGRES")?).await?),
        Store::Sqlite => None,
    };
    let mut place = Place::of(plain_binary()?, url)?;
    site::set_up(&place, Some(&targets)).await?;
    let since = Since::now(&targets)?;
    let mut server = Server::start(&place, &settings().each()).await?;
    let subjects = site::subjects(&server, true).await?;
    site::record_effects(&mut Rows::open(&place.store_url()).await?).await?;

    let load = Arc::new(Load {
        subjects,
        model: Model::default(),
        address: server.address.clone(),
        headers: server.headers(),
        stop: false.into(),
    });
    let clients = load::start(&load);
    let mut killed = Killed::default();
    for cycle in 1..=options.cycles {
        let kill = if options.control { Kill::before_commit()? } else { Kill::of(cycle)? };
        one(&mut place, &options, &load, &mut server, &kill, &mut killed).await?;
    }
    // On a busy machine a server can miss its point: it gets further attempts.
    for _ in 0..CHANCES {
        for point in kill::points().filter(|_| !options.control) {
            if !killed.at.contains_key(point) {
                one(&mut place, &options, &load, &mut server, &Kill::at(point)?, &mut killed)
                    .await?;
            }
        }
    }
    place.binary = plain_binary()?;
    server.kill()?;
    // Only the deadline is set, so that the default number of workers clears the many open changes.
    let deadline = settings().0.into_iter().take(1).collect();
    server = Server::start_at(&place, &load.address, &Settings(deadline).each()).await?;
    let left_alone = model::now()?;
    load.stop.store(true, Ordering::Relaxed);
    for client in clients.join_all().await {
        client?;
    }
    let mut store = Rows::open(&place.store_url()).await?;
    model::until_all_ended(&mut store, DEADLINE + GRACE).await?;
    let facts = Facts::gather(&load, Some((&targets, &since)), &mut store).await?;
    killed.print(&options);
    facts.tell(&load);
    drop(server);
    if options.control {
        return control(&check::lost(&load, &facts));
    }
    let mut findings = check::all(&load, &facts, Some(&targets), left_alone).await?;
    findings.push(killed.everywhere());
    check::report(&findings)
}

/// The `rekey` beside this binary, which has no crash points, unlike the one from [`binary`].
fn plain_binary() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("rekey"))
}

/// The server's settings.
fn settings() -> Settings {
    Settings(vec![
        ("REKEY_CHANGES__DEADLINE", format!("{}s", DEADLINE.as_secs())),
        ("REKEY_CHANGES__WORKERS", "16".to_owned()),
        ("REKEY_CHANGES__PER_SOURCE", "4".to_owned()),
    ])
}

struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn and(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    fn each(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// Runs one server until it dies, in place of the one before.
async fn one(
    place: &mut Place,
    options: &Options,
    load: &Load,
    server: &mut Server,
    kill: &Kill,
    killed: &mut Killed,
) -> Result<()> {
    server.kill()?;
    let mut settings = settings();
    place.binary = plain_binary()?;
    if let Kill::At(_, when) = kill {
        place.binary = binary();
        settings = settings.and("REKEY_CRASH_AT", when);
        if options.control {
            settings = settings.and("REKEY_PROOF", "early_202");
        }
    }
    *server = Server::launch(place, &load.address, &settings.each())?;
    let ready = server.ready(place).await;
    match (kill, ready) {
        (Kill::AnyTime(_), Err(error)) => return Err(error),
        (Kill::AnyTime(time), Ok(())) => {
            tokio::time::sleep(*time).await;
            look(place, load).await?;
            killed.any_time += 1;
        }
        (Kill::At(point, _), ready) => {
            let begun = Instant::now();
            let mut ended = server.ended()?;
            while ended.is_none() && ready.is_ok() && begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(2)).await;
                ended = server.ended()?;
            }
            if ended.is_some() {
                *killed.at.entry(point).or_default() += 1;
            } else {
                killed.too_late += 1;
            }
        }
    }
    Ok(())
}

/// Checks the promises that hold at any time, not only in the end.
async fn look(place: &Place, load: &Load) -> Result<()> {
    let mut store = Rows::open(&place.store_url()).await?;
    let sql = "SELECT id FROM password_change WHERE state <> 0 AND payload IS NOT NULL";
    for row in store.all(sql).await? {
        let id = row.into_iter().flatten().next().unwrap_or_default();
        load.model.is_wrong(format!("{id} has ended and kept its ciphertext"));
    }
    Ok(())
}

/// The number of times that the server died at each point.
#[derive(Default)]
struct Killed {
    any_time: usize,
    at: BTreeMap<&'static str, usize>,
    too_late: usize,
}

impl Killed {
    fn print(&self, options: &Options) {
        let Options { cycles, store, .. } = options;
        println!("{cycles} cycles on {store:?}: killed at any time: {}", self.any_time);
        for (point, times) in &self.at {
            println!("  at {point}: {times}");
        }
        println!("  never came by the point, so killed later: {}", self.too_late);
    }

    /// Reports the points at which the server never died: they prove nothing.
    fn everywhere(&self) -> Finding {
        let missing = kill::points().filter(|point| !self.at.contains_key(point));
        Finding {
            promise: "the server died at every point there is",
            looked: self.at.values().sum(),
            wrong: missing.map(str::to_owned).collect(),
        }
    }
}

/// The control has worked if the lost requests were found.
fn control(lost: &Finding) -> Result<()> {
    if lost.wrong.is_empty() {
        return Err("a 202 before the commit was not found out: the proof proves nothing".into());
    }
    println!(
        "ok a 202 before the commit is found out: {} of {} lost",
        lost.wrong.len(),
        lost.looked
    );
    Ok(())
}
