//! Everything that lasts, in SQLite or in PostgreSQL.
//!
//! One SQL text serves both, with `$1` for the first parameter. A new query is a method on
//! [`Tx`], in the file of the thing it returns. A deed is a closure over a [`Tx`]: it cannot
//! await, so nothing slow can happen inside a transaction.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::hmac;

use crate::{clock::Clock, metrics::Metrics};

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
mod memory;
mod migrate;
mod policies;
mod postgres;
mod readers;
mod row;
mod settings;
mod sources;
mod sqlite;
mod tx;
mod value;
mod writer;

pub use self::{
    audit::{Audit, KeptCheckpoint, Link},
    changes::{
        ChangeGround, ChangeParties, ChangeStatus, Claimed, ClaimedTarget, Intent, KnownChange,
        NewChange, Settled, Target, is_lost,
    },
    clients::Standing,
    codes::AuthorizationCode,
    groups::SyncGroup,
    health::QueueHealth,
    jobs::Job,
    keys::SigningKey,
    listing::{Asked, Listing, Page},
    migrate::schema,
    row::{Error, Fail, FromRow, Param, Result, Row},
    tx::Tx,
    value::Json,
};
use self::{
    crew::Crew,
    memory::Memory,
    postgres::{Postgres, Server},
    readers::Readers,
    sqlite::Sqlite,
    writer::counted,
};
pub(crate) use self::{row::from_row, value::text_value};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    clock: Clock,
    audit_key: Arc<OnceLock<hmac::Key>>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
enum Engine {
    /// One file beside the service: one writer thread, a pool of readers.
    Sqlite { writer: Crew, readers: Arc<Readers> },
    /// A database that ends with the process, for simulations.
    Memory(Memory),
    /// A server, for any number of nodes: threads with a connection each.
    Postgres { writers: Crew, readers: Crew },
}

/// Deeds that share a commit at most, in SQLite: one sync costs as much as a hundred of them.
const BATCH: usize = 512;
/// The same in PostgreSQL, where a deed is done by the server, and the others wait for it.
const SERVER_BATCH: usize = 64;
/// How long what waits may take when the store is closed.
const CLOSE: Duration = Duration::from_secs(5);
/// Threads, and so connections, of a node that write to PostgreSQL, and that read from it.
const WRITERS: usize = 8;
const READERS: usize = 8;

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, for SQLite.
    File(PathBuf),
    /// A `postgres://` URL. It may hold a password: for no message.
    Server(String),
}

impl Place {
    /// What `store.url` says.
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
    /// Opens the store at `url`, a file or a `postgres://` URL, and brings its schema up to date.
    ///
    /// Fails with a sentence for people when it cannot be opened or is of a newer version.
    pub async fn open(url: &str, clock: Clock) -> Result<Self> {
        let metrics = Arc::<Metrics>::default();
        let engine = match Place::parse(url)? {
            Place::Server(url) => {
                let server = Server::parse(&url)?;
                let session = |_| Postgres::new(server.clone(), clock.clone());
                Engine::Postgres {
                    writers: Crew::start(
                        (0..WRITERS).map(session),
                        SERVER_BATCH,
                        counted(&metrics),
                    ),
                    readers: Crew::start((0..READERS).map(session), 1, postgres::look),
                }
            }
            Place::File(path) => {
                let session = Sqlite::open(&path, clock.clone())?;
                let writer = Crew::start([session], BATCH, counted(&metrics));
                Engine::Sqlite { writer, readers: Arc::new(Readers::new(&path)) }
            }
        };
        let store = Self { engine, clock, audit_key: Arc::default(), metrics };
        match store.write(migrate::run).await {
            // Another node made the first table at the same moment, and is done now.
            Err(error) if error.is_unique_violation() => store.write(migrate::run).await?,
            done => done?,
        }
        Ok(store)
    }

    /// A store that ends with the process, on the thread of who asks: for simulations.
    pub async fn in_memory(clock: Clock) -> Result<Self> {
        let engine = Engine::Memory(Memory::open()?);
        let store = Self { engine, clock, audit_key: Arc::default(), metrics: Arc::default() };
        store.write(migrate::run).await?;
        Ok(store)
    }

    /// The same store, timed by another clock.
    #[must_use]
    pub fn timed_by(&self, clock: Clock) -> Self {
        Self { clock, ..self.clone() }
    }

    /// Does a deed in one transaction, and returns when it is on stable storage.
    ///
    /// The deed may run twice: when another took part in a failed commit, or when PostgreSQL
    /// asks for it (40001, 40P01). Deeds that wait together share a transaction. It must touch nothing but `tx`. An `Err` undoes it all.
    pub async fn write<T, E, F>(&self, deed: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: Fn(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let (deed, metrics) = (self.scribed(deed), self.metrics.clone());
        let deed = move |tx: &mut Tx<'_>| {
            let done = deed(tx);
            metrics.statements.inc_by(tx.statements);
            done
        };
        match &self.engine {
            Engine::Memory(memory) => memory.write(&self.clock, deed).await,
            Engine::Sqlite { writer: crew, .. } | Engine::Postgres { writers: crew, .. } => {
                crew.told(deed).await
            }
        }
    }

    /// Reads. Every query sees what was committed before it began.
    pub async fn read<T, E, F>(&self, look: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Fail + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    {
        let metrics = self.metrics.clone();
        let look = move |tx: &mut Tx<'_>| {
            let done = look(tx);
            metrics.statements.inc_by(tx.statements);
            done
        };
        match &self.engine {
            Engine::Memory(memory) => memory.read(&self.clock, look),
            // A read from the page cache takes microseconds; handing it to a thread takes more.
            Engine::Sqlite { readers, .. } => {
                let reader = readers.take()?;
                let done = look(&mut Tx::sqlite(&reader, &self.clock));
                readers.put_back(reader);
                done
            }
            Engine::Postgres { readers, .. } => {
                let mut look = Some(look);
                readers
                    .told(move |tx| look.take().map_or(Err(Error::Closed.into()), |look| look(tx)))
                    .await
            }
        }
    }

    /// What this node counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the two databases' own ways must differ: only accept, claim and finish may ask.
    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// Ends the writers after the deeds that wait; later ones are refused.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Memory(_) => {}
            Engine::Sqlite { writer, .. } => writer.close(CLOSE).await,
            Engine::Postgres { writers, readers } => {
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
