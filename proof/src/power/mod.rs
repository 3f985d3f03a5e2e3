//! The power goes, again and again: what was not synced is lost, or only some of it, in pieces of a
//! sector.
//!
//! The server runs with `powerloss-shim` preloaded, which keeps a journal of what it has not synced.
//! In each cycle it is killed in the middle of accepting, what the journal holds is undone, and the
//! next server must recover: its store must be whole, and every request that was answered `202`
//! must be there. In the end all are carried out, and what is so is held against what was promised.
//!
//! With `--control` the store syncs its log only at checkpoints (`synchronous=NORMAL`): then the
//! check must find that requests were lost.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::Args;
use rekey_drive::{Place, Result, Rows, Server};
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
}

/// Of so many cycles one carries changes out as well; the others only accept.
const WORKING: usize = 5;
/// What waits in the end must be done after so long.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn run(options: Options) -> Result<()> {
    let place = Place::new(None)?;
    let journal = place.folder().join("journal");
    fs::create_dir(&journal)?;
    site::set_up(&place, None).await?;
    let mut server = Server::start(&place, &[]).await?;
    let lanes = site::lanes(&server, false).await?;
    site::record_effects(&mut Rows::open(&place.store_url()).await?).await?;
    let load = Arc::new(Load {
        lanes,
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
        let settings = watched(&place, &journal, workers, options.control)?;
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server = Server::start_at(&place, &load.address, &settings).await?;
        tokio::time::sleep(Duration::from_millis(50 + below(350)? as u64)).await;
        server.kill()?;
        lost += power_goes(&place, &journal, cycle % 2 == 0)?;
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
    check::report(&findings)
}

/// The settings of a server whose files are watched.
fn watched(
    place: &Place,
    journal: &Path,
    workers: &str,
    control: bool,
) -> Result<Vec<(&'static str, String)>> {
    let mut settings = vec![
        ("REKEY_CHANGES__WORKERS", workers.to_owned()),
        ("LD_PRELOAD", shim()?.display().to_string()),
        ("POWERLOSS_FOLDER", place.folder().join("rekey-data").display().to_string()),
        ("POWERLOSS_JOURNAL", journal.display().to_string()),
    ];
    if control {
        settings.push(("REKEY_PROOF", "synchronous_normal".to_owned()));
    }
    Ok(settings)
}

/// The library beside this binary.
fn shim() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("libpowerloss_shim.so"))
}

/// What is left of the store when the power has gone; the index of its log is in memory only.
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

/// What SQLite itself finds wrong with a copy of the store.
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

/// The control has worked when it was found out.
fn control(lost: &Finding) -> Result<()> {
    if lost.wrong.is_empty() {
        return Err(
            "a store that syncs too little was not found out: the proof proves nothing".into()
        );
    }
    println!(
        "ok a store that syncs too little is found out: {} of {} lost",
        lost.wrong.len(),
        lost.looked
    );
    Ok(())
}
