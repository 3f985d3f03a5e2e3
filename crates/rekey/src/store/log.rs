//! SQLite's write-ahead log is moved into the database file beside the writer: who waits for a
//! commit does not wait for that, too.
//!
//! SQLite begins the log anew once all of it was moved, and beside a busy writer nobody gets that
//! far. So a thread with a connection of its own moves what is there, then what came meanwhile,
//! until little is left; the writer moves that little between two transactions.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, MAIN_DB, wal::CheckpointMode};

use super::Result;

/// Pages in the log from which on it is moved: 16 MB.
const MANY: i32 = 4_000;
/// So few are left to the writer.
const FEW: i32 = 200;
/// How often the thread goes on with what came meanwhile: each time it is less, or it never is.
const ROUNDS: usize = 8;

/// Who has to do something about the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nobody, until it has so many pages.
    Nobody(i32),
    /// The thread beside the writer.
    Mover,
    /// The writer: little is left.
    Writer,
    /// Nobody any more.
    Closed,
}

/// The log of one database file, as its writer sees it.
pub(super) struct Log {
    shared: Arc<Shared>,
    mover: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    turn: Turn,
    /// Pages in it after the last commit.
    pages: i32,
}

impl Log {
    /// Keeps the log of the file at `path` short, which `writer` writes.
    pub(super) fn keep_short(path: &Path, writer: &mut Connection) -> Result<Self> {
        let state = Mutex::new(State { turn: Turn::Nobody(MANY), pages: 0 });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let told = shared.clone();
        // This takes the place of SQLite's own checkpoints within a commit.
        writer.wal_hook(Some(move |_: &mut _, pages| {
            told.has(pages);
            Ok(())
        }))?;
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.execute_batch("PRAGMA synchronous = FULL")?;
        let turns = shared.clone();
        let mover = thread::spawn(move || {
            while turns.wait_for_mover() {
                let moved = rounds(&db);
                turns.pass(Turn::Writer, moved);
            }
        });
        Ok(Self { shared, mover: Some(mover) })
    }

    /// The writer's part, between two transactions.
    pub(super) fn finish(&self, writer: &Connection) {
        if self.shared.state().turn == Turn::Writer {
            let moved = writer.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE);
            self.shared.pass(Turn::Nobody(MANY), moved);
        }
    }
}

/// Moves until little is left; the pages in the log, and how many of them were moved.
fn rounds(db: &Connection) -> rusqlite::Result<(i32, i32)> {
    let mut done = db.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)?;
    for _ in 1..ROUNDS {
        // What came after the last page that was moved is not counted yet.
        let (before, _) = done;
        done = db.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)?;
        if done.0 - before < FEW {
            break;
        }
    }
    Ok(done)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a commit that left so many pages in the log.
    fn has(&self, pages: i32) {
        let mut state = self.state();
        state.pages = pages;
        if matches!(state.turn, Turn::Nobody(until) if pages >= until) {
            state.turn = Turn::Mover;
            self.changed.notify_one();
        }
    }

    /// Whether there is something to move; false when there never will be again.
    fn wait_for_mover(&self) -> bool {
        let mut state = self.state();
        while !matches!(state.turn, Turn::Mover | Turn::Closed) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn == Turn::Mover
    }

    /// Passes the turn to `next` if all there was could be moved.
    fn pass(&self, next: Turn, moved: rusqlite::Result<(i32, i32)>) {
        let mut state = self.state();
        if state.turn == Turn::Closed {
            return;
        }
        // Otherwise, as when a reader still needs what is older, it is tried when there is more.
        let later = Turn::Nobody(state.pages.saturating_add(MANY));
        state.turn = match moved {
            Ok((pages, moved)) if pages == moved => next,
            Ok(_) => later,
            Err(error) => {
                tracing::warn!(%error, "the store's log cannot be moved into its file");
                later
            }
        };
    }
}

impl Drop for Log {
    /// Waits for what is being moved: SQLite tidies up when its last connection is closed.
    fn drop(&mut self) {
        self.shared.state().turn = Turn::Closed;
        self.shared.changed.notify_one();
        if let Some(mover) = self.mover.take() {
            let _ = mover.join();
        }
    }
}
