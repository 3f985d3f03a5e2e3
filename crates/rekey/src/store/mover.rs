//! WAL checkpoints: copies SQLite's write-ahead log into the database file, on a thread beside the
//! writer.
//!
//! SQLite would run a WAL checkpoint within a commit, and the callers of that commit would wait for
//! tens of milliseconds. On its own thread the WAL checkpoint runs beside new commits. The writer
//! copies the pages of those commits itself afterwards: they are few, and only a complete WAL
//! checkpoint lets the log start again from its beginning.
//!
//! A WAL checkpoint that a commit overtakes counts its pages as copied without a sync of the
//! database file. After any error the store is therefore reopened ([`Log::fail`]), so that no page
//! counts as copied.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{Result, log::Log};

/// The number of WAL checkpoints for one request. A repeated one copies the pages that were
/// committed during the one before it: a tenth of that one's pages, or fewer.
const ROUNDS: usize = 2;

/// The thread for WAL checkpoints. Dropping this ends the thread after the one under way.
pub(super) struct Mover {
    ask: Option<mpsc::Sender<()>>,
    done: mpsc::Receiver<()>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// `file` is the database itself. It must be closed after every connection to it: a process
    /// that closes any descriptor of a file loses all its locks on that file (`fcntl(2)`).
    pub(super) fn start(path: &Path, file: Arc<File>, log: Arc<Log>) -> Result<Self> {
        let db = Connection::open(path)?;
        db.execute_batch("PRAGMA synchronous = NORMAL;")?;
        let (ask, asked) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let thread = thread::spawn(move || {
            while asked.recv().is_ok() {
                (0..ROUNDS).for_each(|_| move_once(&db, &file, &log));
                if tell.send(()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { ask: Some(ask), done, under_way: false, thread: Some(thread) })
    }

    /// Requests a WAL checkpoint unless one is under way. Returns true once for each request, when
    /// it is done and the log holds only pages of newer commits.
    pub(super) fn has_moved(&mut self) -> bool {
        if !self.under_way {
            self.under_way = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
            return false;
        }
        // If the thread has ended, the request counts as done and the writer copies all pages.
        self.under_way = self.done.try_recv() == Err(mpsc::TryRecvError::Empty);
        !self.under_way
    }
}

fn move_once(db: &Connection, file: &File, log: &Log) {
    if log.has_failed() {
        return;
    }
    match db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        Err(error) => log.not_moved(&error),
        Ok(()) => {
            if let Err(error) = file.sync_data() {
                log.fail(error.to_string());
            }
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
