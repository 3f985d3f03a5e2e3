//! The store: everything durable, in SQLite or in PostgreSQL.
//!
//! Both databases get the same SQL text, with `$1` for the first parameter. A new query is a method
//! of [`Tx`], in the file of the thing it returns. A transaction is a closure over a [`Tx`]: it
//! cannot await, so no slow operation can happen in a transaction.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::hmac;

use crate::{
    metrics::Metrics,
    model::{audit::Addresses, time::Clock},
};

mod accounts;
mod audit;
mod builtin;
mod changes;
mod clients;
mod codes;
mod crew;
mod field;
pub mod filter;
mod groups;
mod health;
mod identities;
mod jobs;
mod keys;
mod listing;
mod lists;
mod log;
mod memory;
mod migrate;
mod mover;
mod policies;
mod postgres;
mod readers;
mod recovery;
mod server;
mod settings;
mod sources;
mod sqlite;
mod tx;
mod writer;

pub use self::{
    accounts::{Kept, Removed},
    audit::{Audit, KeptCheckpoint, Link},
    changes::{
        AcceptContext, ChangeParties, ChangeStatus, Claimed, ClaimedTarget, DueQueue, Intent,
        KnownChange, NewChange, Quota, Room, Sourced, Target, TargetResult, is_lost,
    },
    clients::Standing,
    codes::AuthorizationCode,
    health::QueueHealth,
    keys::SigningKey,
    listing::{Asked, InvalidListing, Listing, Page},
    migrate::schema,
    sources::DescribedSource,
    tx::Tx,
};
use self::{
    crew::{Crew, Queue},
    lists::Lists,
    log::{Log, Seen},
    memory::Memory,
    postgres::Postgres,
    readers::Readers,
    server::Server,
    sqlite::Sqlite,
};
pub use crate::model::column::{Error, Fail, Result};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    clock: Clock,
    audit_key: Arc<OnceLock<hmac::Key>>,
    addresses: Arc<Addresses>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
enum Engine {
    /// A file beside the service: a writer thread, a sync thread and a pool of read connections.
    Sqlite { writer: Crew, log: Arc<Log>, readers: Arc<Readers>, lists: Lists },
    /// A database in memory, for simulations.
    Memory(Memory),
    /// A server, for any number of nodes: threads with one connection each.
    Postgres { writers: Crew, readers: Crew, lists: Lists },
}

/// The maximum number of transactions in one SQLite commit: a sync costs as much as a hundred of
/// them.
const BATCH: usize = 512;
/// The maximum number of transactions in one PostgreSQL commit. It is smaller because each one
/// takes round trips to the server, and the others wait for them.
const SERVER_BATCH: usize = 64;
/// How long queued transactions may take when the store is closed.
const CLOSE: Duration = Duration::from_secs(5);

/// The location of a store.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, for SQLite.
    File(PathBuf),
    /// A `postgres://` URL. It may contain a password, so it must not appear in a message.
    Server(String),
}

impl Place {
    /// Parses the value of `store.url`.
    pub fn parse(url: &str) -> Result<Self> {
        let is_scheme = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let scheme = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
        let Some((scheme, rest)) = scheme else {
            return Ok(Self::File(url.strip_prefix("sqlite:").unwrap_or(url).into()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Ok(Self::Server(format!("postgres://{rest}"))),
            "sqlite" => Ok(Self::File(rest.into())),
            other => Err(Error::Open(format!(
                "store.url begins with {other}://, which rekey cannot use: name a file, or a database as in postgres://USER@HOST/DATABASE"
            ))),
        }
    }
}

impl Store {
    /// Opens the store at `url`, a file or a `postgres://` URL, and applies missing schema changes.
    ///
    /// Fails with a sentence for operators if it cannot be opened or was written by a newer
    /// version.
    pub async fn open(url: &str, clock: Clock) -> Result<Self> {
        let metrics = Arc::<Metrics>::default();
        let engine = match Place::parse(url)? {
            Place::Server(url) => {
                let server = Server::parse(&url)?;
                let session = |_| Postgres::new(server.clone(), clock.clone(), metrics.clone());
                let for_lists = server.for_lists();
                let lists = (0..lists::THREADS)
                    .map(|_| Postgres::new(for_lists.clone(), clock.clone(), metrics.clone()));
                let lists = Crew::start(Queue::new(1), lists, postgres::look);
                let threads = 0..server.threads();
                let (writers, readers) = (threads.clone().map(session), threads.map(session));
                Engine::Postgres {
                    writers: Crew::start(Queue::new(SERVER_BATCH), writers, writer::commit),
                    readers: Crew::start(Queue::new(1), readers, postgres::look),
                    lists: Lists::new(lists),
                }
            }
            Place::File(path) => {
                let queue = Queue::new(BATCH);
                let log = Log::new(queue.clone());
                let readers = Arc::new(Readers::new(&path));
                let session = Sqlite::open(&path, clock.clone(), &log, &readers, &metrics)?;
                let writer = Crew::start(queue, [session], writer::commit);
                let lists = (0..lists::THREADS).map(|_| (readers.clone(), clock.clone()));
                let lists = Lists::new(Crew::start(Queue::new(1), lists, readers::look));
                Engine::Sqlite { writer, log, readers, lists }
            }
        };
        let store =
            Self { engine, clock, audit_key: Arc::default(), addresses: Arc::default(), metrics };
        match store.write(migrate::run).await {
            // Another node created the first table at the same moment; its transaction has ended by
            // now.
            Err(error) if error.is_unique_violation() => store.write(migrate::run).await?,
            done => done?,
        }
        Ok(store)
    }

    /// A store in memory that runs on the calling thread, for simulations.
    pub async fn in_memory(clock: Clock) -> Result<Self> {
        let engine = Engine::Memory(Memory::open()?);
        let store = Self {
            engine,
            clock,
            audit_key: Arc::default(),
            addresses: Arc::default(),
            metrics: Arc::default(),
        };
        store.write(migrate::run).await?;
        Ok(store)
    }

    /// The same store with another clock.
    #[must_use]
    pub fn timed_by(&self, clock: Clock) -> Self {
        Self { clock, ..self.clone() }
    }

    /// Runs a closure in a transaction, and returns when its commit is on stable storage.
    ///
    /// The closure may run more than once: after a failure in a shared transaction, or when
    /// PostgreSQL reports a conflict (40001, 40P01). Pending transactions share one commit. The
    /// closure must have no effect outside `tx`. An `Err` rolls back everything that it wrote.
    pub async fn write<T, E, F>(&self, deed: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let (scribe, metrics) = (self.scribe(), self.metrics.clone());
        let deed = Self::scribed(scribe.clone(), deed);
        let deed = move |tx: &mut Tx<'_>| {
            let done = deed(tx);
            metrics.statements.inc_by(tx.statements);
            done
        };
        let done = match &self.engine {
            Engine::Memory(memory) => memory.write(&self.clock, deed).await,
            Engine::Sqlite { writer: crew, .. } | Engine::Postgres { writers: crew, .. } => {
                crew.told(deed).await
            }
        };
        if done.is_ok() {
            scribe.committed();
        }
        done
    }

    /// Reads. Every query sees all earlier commits; those of this process are on stable storage
    /// when this returns.
    pub async fn read<T, E, F>(&self, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let Engine::Sqlite { log, readers, .. } = &self.engine else {
            return self.read_unsynced(look).await;
        };
        if log.has_failed() {
            // The writer thread reopens the store, or reports why it cannot.
            self.write(|_| Ok::<_, Error>(())).await?;
        }
        let (done, seen) = self.look(readers, log, look)?;
        log.durable(seen).await?;
        done
    }

    /// Reads in preparation for a write: the rows may not be on stable storage yet, but they are
    /// when a later write is. They must not be reported to a caller before.
    pub async fn read_unsynced<T, E, F>(&self, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        match &self.engine {
            Engine::Memory(memory) => memory.read(&self.clock, self.tallied(look)),
            // A read from the page cache takes microseconds, less than handing it to a thread.
            Engine::Sqlite { log, readers, .. } => self.look(readers, log, look)?.0,
            Engine::Postgres { readers, .. } => {
                let mut look = Some(self.tallied(look));
                readers
                    .told(move |tx| look.take().map_or(Err(Error::Closed.into()), |look| look(tx)))
                    .await
            }
        }
    }

    /// Reads a list for a caller, as [`Store::read`] does, but apart from all other reads: a list
    /// may take long. It fails with [`Error::Busy`] or [`Error::TooLong`] before it delays other
    /// reads.
    pub async fn list<T, E, F>(&self, caller: &str, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let look = self.tallied(look);
        match &self.engine {
            Engine::Memory(memory) => memory.read(&self.clock, look),
            Engine::Postgres { lists, .. } => lists.read(caller, look).await,
            Engine::Sqlite { log, lists, .. } => {
                let of_thread = log.clone();
                let look = move |tx: &mut Tx<'_>| Ok::<_, E>((look(tx)?, of_thread.seen()));
                let (done, seen) = lists.read(caller, look).await?;
                log.durable(seen).await?;
                Ok(done)
            }
        }
    }

    /// Waits until everything that could be read so far is on stable storage. Required before a
    /// result of [`Store::read_unsynced`] is reported to a caller.
    pub async fn durable(&self) -> Result<()> {
        let Engine::Sqlite { log, .. } = &self.engine else { return Ok(()) };
        log.durable(log.seen()).await
    }

    /// Reads from SQLite's file on this thread. Also returns the position that the read may have
    /// seen.
    fn look<T>(
        &self,
        readers: &Readers,
        log: &Log,
        look: impl FnOnce(&mut Tx<'_>) -> T,
    ) -> Result<(T, Seen)> {
        let reader = readers.take()?;
        let done = self.tallied(look)(&mut Tx::sqlite(reader.db()?, &self.clock));
        Ok((done, log.seen()))
    }

    /// The closure `look`, with its statements counted in the metrics.
    fn tallied<T, F>(&self, look: F) -> impl FnOnce(&mut Tx<'_>) -> T + use<T, F>
    where
        F: FnOnce(&mut Tx<'_>) -> T,
    {
        let metrics = self.metrics.clone();
        move |tx| {
            let done = look(tx);
            metrics.statements.inc_by(tx.statements);
            done
        }
    }

    /// The metrics of this node.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the store is PostgreSQL. Only accept, claim and finish may depend on it.
    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// The maximum number of write transactions that can be open at once.
    pub fn writers(&self) -> usize {
        match &self.engine {
            Engine::Memory(_) => 1,
            Engine::Sqlite { writer: crew, .. } | Engine::Postgres { writers: crew, .. } => {
                crew.count()
            }
        }
    }

    /// Closes the store after the queued transactions; later ones are refused.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Memory(_) => {}
            Engine::Sqlite { writer, lists, .. } => {
                lists.close(CLOSE).await;
                writer.close(CLOSE).await;
            }
            Engine::Postgres { writers, readers, lists } => {
                lists.close(CLOSE).await;
                writers.close(CLOSE).await;
                readers.close(CLOSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_file_or_a_postgresql_database() {
        for (url, place) in [
            ("rekey.db", Place::File("rekey.db".into())),
            ("/data/a://b", Place::File("/data/a://b".into())),
            ("sqlite:/data/rekey.db", Place::File("/data/rekey.db".into())),
            ("sqlite:///data/rekey.db", Place::File("/data/rekey.db".into())),
            ("postgres://u:p@db/x", Place::Server("postgres://u:p@db/x".into())),
            ("PostgreSQL://u:P@db/x", Place::Server("postgres://u:P@db/x".into())),
        ] {
            assert_eq!(Place::parse(url).unwrap(), place);
        }
        for url in ["mysql://u:hush@db/x", "postgres+tls://u:hush@db/x", "file://hush"] {
            let told = Place::parse(url).unwrap_err().to_string();
            assert!(told.contains("cannot use") && !told.contains("hush"), "{told}");
        }
    }
}
