//! Direct access to the store, as its operator has: rows of text, from SQLite and PostgreSQL alike.

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::Result;

/// A row: every column as text, binary ones as `\x` and hexadecimal digits.
pub type Row = Vec<Option<String>>;

/// A connection to the store. On SQLite it must be closed before the server is killed: while it is
/// open, the next server need not recover the log.
pub enum Rows {
    /// The database file.
    Sqlite(Connection),
    /// A database session, and the task of its connection.
    Postgres(Client, JoinHandle<()>),
}

impl Rows {
    /// Opens the store at `url`, the value of [`crate::Place::store_url`].
    pub async fn open(url: &str) -> Result<Self> {
        if url.starts_with("postgres://") {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            // An error of the connection shows in the result of the next query.
            return Ok(Self::Postgres(client, tokio::spawn(async { drop(connection.await) })));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(url, flags)?;
        file.busy_timeout(std::time::Duration::from_secs(30))?;
        Ok(Self::Sqlite(file))
    }

    /// Whether it is a PostgreSQL database.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }

    /// The rows of a query that is valid on both kinds of store.
    pub async fn all(&mut self, sql: &str) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(client, _) => {
                let mut all = Vec::new();
                for message in client.simple_query(sql).await? {
                    if let SimpleQueryMessage::Row(row) = message {
                        all.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                    }
                }
                Ok(all)
            }
            Self::Sqlite(file) => {
                let mut statement = file.prepare(sql)?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    let mut texts = Row::with_capacity(columns);
                    for at in 0..columns {
                        texts.push(text(row.get_ref(at)?));
                    }
                    all.push(texts);
                }
                Ok(all)
            }
        }
    }

    /// The number that a query returns in its first column.
    pub async fn count(&mut self, sql: &str) -> Result<i64> {
        let first = self.all(sql).await?.into_iter().flatten().flatten().next();
        Ok(first.ok_or("no number")?.parse()?)
    }

    /// Runs SQL statements.
    pub async fn run(&mut self, sql: &str) -> Result<()> {
        match self {
            Self::Postgres(client, _) => client.batch_execute(sql).await?,
            Self::Sqlite(file) => file.execute_batch(sql)?,
        }
        Ok(())
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(format!("\\x{}", hex(bytes))),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
