//! Repeated power failures: unsynced writes are lost, either all of them or a random part in units
//! of a sector.
//!
//! The server runs with `powerloss-shim` preloaded, which keeps a journal of unsynced writes. In
//! each cycle the server is killed while it accepts requests, the writes in the journal are undone,
//! and the next server must recover: its store must be intact, and every request that was answered
//! `202` must be there. In the end all changes are executed, and the state is compared with what
//! was promised.
//!
//! With `--control` the store syncs its log only at checkpoints (`synchronous=NORMAL`): the check
//! must then find that requests were lost.
//!
//! With `--failing-syncs` every sync fails for a while in each cycle, and the power fails only in
//! every other cycle. In the cycles between, the server dies, often while syncs fail, and the next
//! one starts with the page cache's view of the files, which may be ahead of the disk. The control
//! of this mode is a store that trusts the log that it finds.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::Args;
use rekey_harness::{Place, Result, Rows, Server};
use rekey_powerloss::undo::{Loss, Undone, undo};

use crate::{
    model::{
        self, Model,
        check::{self, Finding},
        facts::Facts,
        load::{self, Load, below},
    },
    site,
};

/// How long it goes on.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the power goes.
    #[arg(long, default_value_t = 100)]
    cycles: usize,
    /// Have the store sync too little, and see whether that is found.
    #[arg(long)]
    control: bool,
    /// Have syncs fail for a while, and the server die before the power goes.
    #[arg(long)]
    failing_syncs: bool,
}

/// One in this many cycles executes changes as well; the others only accept.
const WORKING: usize = 5;
/// The time within which all open changes must have ended after the last cycle.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn run(options: Options) -> Result<()> {
    let place = Place::new(None)?;
    let journal = place.folder().join("journal");
    fs::create_dir(&journal)?;
    site::set_up(&place, None).await?;
    let mut server = Server::start(&place, &[]).await?;
    let subjects = site::subjects(&server, false).await?;
    site::record_effects(&mut Rows::open(&place.store_url()).await?).await?;
    let load = Arc::new(Load {
        subjects,
        model: Model::default(),
        address: server.address.clone(),
        headers: server.headers(),
        stop: false.into(),
    });
    server.kill()?;

    let clients = load::start(&load);
    let mut lost = Undone::default();
    for cycle in 1..=options.cycles {
        let workers = if cycle % WORKING == 0 { "16" } else { "0" };
        let settings = watched(&place, &journal, workers, &options)?;
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server = Server::start_at(&place, &load.address, &settings).await?;
        some_time(50).await?;
        if options.failing_syncs {
            fail_for_some_time(&place, &mut server).await?;
        }
        server.kill()?;
        // After the last cycle the power always fails, so that the final checks see the state of
        // the disk.
        let goes = !options.failing_syncs || cycle % 2 == 0 || cycle == options.cycles;
        if !goes {
            continue;
        }
        lost += power_goes(
            &place,
            &journal,
            cycle.is_multiple_of(if options.failing_syncs { 4 } else { 2 }),
        )?;
        if let Some(reason) = damage(&place).await? {
            load.model.is_wrong(format!("the store was damaged: {reason}"));
        }
    }
    server = Server::start_at(&place, &load.address, &[]).await?;
    let left_alone = model::now()?;
    load.stop.store(true, Ordering::Relaxed);
    for client in clients.join_all().await {
        client?;
    }
    let mut store = Rows::open(&place.store_url()).await?;
    model::until_all_ended(&mut store, PATIENCE).await?;
    let facts = Facts::gather(&load, None, &mut store).await?;
    println!(
        "{} cycles: {} of {} unsynced sectors and {} names undone",
        options.cycles, lost.sectors, lost.unsynced, lost.names
    );
    facts.tell(&load);
    drop(server);
    if options.control {
        return control(&check::lost(&load, &facts));
    }
    let mut findings = check::all(&load, &facts, None, left_alone).await?;
    findings.push(something_was_undone(&lost));
    if options.failing_syncs {
        findings.push(something_was_refused(&load));
    }
    check::report(&findings)
}

/// The settings of a server whose writes and syncs are recorded.
fn watched(
    place: &Place,
    journal: &Path,
    workers: &str,
    options: &Options,
) -> Result<Vec<(&'static str, String)>> {
    let mut settings = preloaded(place, journal)?;
    settings.push(("REKEY_CHANGES__WORKERS", workers.to_owned()));
    let way = match (options.control, options.failing_syncs) {
        // A short log is copied into the database file every few commits, so that power also fails
        // during that copying.
        (false, _) => "short_log",
        (true, true) => "trust_the_log",
        (true, false) => "synchronous_normal",
    };
    settings.push(("REKEY_PROOF", way.to_owned()));
    Ok(settings)
}

/// The settings that preload the shim, which records a server's syncs and can make them fail.
pub(crate) fn preloaded(place: &Place, journal: &Path) -> Result<Vec<(&'static str, String)>> {
    // The library is in the folder of this binary.
    let shim = env::current_exe()?.with_file_name("libpowerloss_shim.so");
    Ok(vec![
        ("LD_PRELOAD", shim.display().to_string()),
        ("POWERLOSS_FOLDER", place.folder().join("rekey-data").display().to_string()),
        ("POWERLOSS_JOURNAL", journal.display().to_string()),
        ("POWERLOSS_FAILING", failing(place).display().to_string()),
    ])
}

/// The path of the file whose presence makes every sync fail.
pub(crate) fn failing(place: &Place) -> PathBuf {
    place.folder().join("failing")
}

/// Makes every sync fail for a while; in half of the cases until the server is dead.
async fn fail_for_some_time(place: &Place, server: &mut Server) -> Result<()> {
    fs::File::create(failing(place))?;
    some_time(20).await?;
    if below(2)? == 0 {
        server.kill()?;
    }
    fs::remove_file(failing(place))?;
    // In half of the cases the server dies within 10 ms, about when the store is reopened.
    if below(2)? == 0 {
        tokio::time::sleep(Duration::from_millis(below(10)? as u64)).await;
        return Ok(());
    }
    some_time(50).await
}

/// Sleeps for `at_least` milliseconds, and for up to 350 more.
async fn some_time(at_least: u64) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(at_least + below(350)? as u64)).await;
    Ok(())
}

/// Undoes unsynced writes as a power failure would. The index of the log (`-shm`) is never synced,
/// so it is removed.
fn power_goes(place: &Place, journal: &Path, all: bool) -> Result<Undone> {
    let folder = place.folder().join("rekey-data");
    let mut chance = |limit| below(limit).unwrap_or(0);
    let loss = if all { Loss::All } else { Loss::Some(&mut chance) };
    let undone = undo(&folder, journal, loss)?;
    let index = folder.join("rekey.db-shm");
    if index.exists() {
        fs::remove_file(index)?;
    }
    Ok(undone)
}

/// Runs SQLite's integrity check on a copy of the store; returns what it reports.
async fn damage(place: &Place) -> Result<Option<String>> {
    let copy = place.folder().join("copy");
    fs::create_dir_all(&copy)?;
    for name in ["rekey.db", "rekey.db-wal"] {
        let from = place.folder().join("rekey-data").join(name);
        if from.exists() {
            fs::copy(from, copy.join(name))?;
        }
    }
    let mut store = Rows::open(&copy.join("rekey.db").display().to_string()).await?;
    let said = store.all("PRAGMA integrity_check").await?;
    drop(store);
    fs::remove_dir_all(copy)?;
    let said: Vec<String> = said.into_iter().flatten().flatten().collect();
    Ok((said != ["ok"]).then(|| said.join("; ")))
}

/// A power failure that undoes nothing proves nothing.
fn something_was_undone(lost: &Undone) -> Finding {
    let wrong = if lost.sectors == 0 { vec!["nothing was".to_owned()] } else { Vec::new() };
    Finding { promise: "something unsynced was undone", looked: lost.unsynced, wrong }
}

/// A failing sync that no request noticed proves nothing.
fn something_was_refused(load: &Load) -> Finding {
    let refused = load.model.lock().turned_away;
    let wrong = if refused == 0 { vec!["nothing was".to_owned()] } else { Vec::new() };
    Finding { promise: "something was refused while syncs failed", looked: refused, wrong }
}

/// The control has worked if the lost requests were found.
fn control(lost: &Finding) -> Result<()> {
    if lost.wrong.is_empty() {
        return Err(
            "a store that is wrong on purpose was not found out: the proof proves nothing".into()
        );
    }
    println!(
        "ok a store that is wrong on purpose is found out: {} of {} lost",
        lost.wrong.len(),
        lost.looked
    );
    Ok(())
}
