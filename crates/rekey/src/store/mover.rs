//! Moves what is in SQLite's write-ahead log into the file, beside the thread that writes.
//!
//! SQLite would do it within a commit, and whoever waits for that would wait for tens of
//! milliseconds. Here a commit may come meanwhile. What it adds the thread that writes moves itself,
//! when the rest is done: that is little, and only then does the log begin anew.
//!
//! A checkpoint that a commit overtakes counts its pages as moved without a sync of the file. So
//! after any error the store is opened anew ([`Log::fail`]): then nothing counts as moved.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{Result, log::Log};

/// How often what came meanwhile is moved, too: each time it is a tenth or less.
const ROUNDS: usize = 2;

/// The thread; dropped, it ends after what is under way.
pub(super) struct Mover {
    ask: Option<mpsc::Sender<()>>,
    done: mpsc::Receiver<()>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// `file` is the database itself. It must be closed later than every connection to it: with any
    /// descriptor of a file a process gives up all its locks on it (`fcntl(2)`).
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

    /// Whether nearly all was moved since this was asked for the first time, or true the last time.
    pub(super) fn has_moved(&mut self) -> bool {
        if !self.under_way {
            self.under_way = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
            return false;
        }
        // A thread that is gone leaves all of it to the thread that writes.
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
