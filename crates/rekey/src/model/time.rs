//! The clock of the service, which tests can set.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// This time plus `span`; saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time minus `span`; saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The wire's format: RFC 3339, UTC, with milliseconds.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map(|at| format!("{at:.3}")).unwrap_or_default()
    }
}

impl rusqlite::ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}
impl rusqlite::types::FromSql for Micros {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}
type Boxed = Box<dyn std::error::Error + Sync + Send>;
impl tokio_postgres::types::ToSql for Micros {
    fn to_sql(
        &self,
        kind: &tokio_postgres::types::Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Boxed> {
        self.0.to_sql(kind, out)
    }
    fn accepts(kind: &tokio_postgres::types::Type) -> bool {
        <i64 as tokio_postgres::types::ToSql>::accepts(kind)
    }
    tokio_postgres::types::to_sql_checked!();
}
impl<'a> tokio_postgres::types::FromSql<'a> for Micros {
    fn from_sql(kind: &tokio_postgres::types::Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        i64::from_sql(kind, raw).map(Self)
    }
    fn accepts(kind: &tokio_postgres::types::Type) -> bool {
        <i64 as tokio_postgres::types::FromSql>::accepts(kind)
    }
}

/// A clock; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    turned: Arc<AtomicI64>,
    /// The start of a clock that follows the runtime; none for the system's clock.
    since: Option<Instant>,
}

impl Clock {
    /// A clock that begins at `at` and advances with the runtime's clock. In a simulation that one
    /// is paused, and jumps ahead when all tasks wait.
    pub fn with_the_runtime(at: Micros) -> Self {
        Self { turned: Arc::new(AtomicI64::new(at.0)), since: Some(Instant::now()) }
    }

    /// The current time.
    pub fn now(&self) -> Micros {
        if let Some(since) = self.since {
            return Micros(self.offset()).plus(since.elapsed());
        }
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX) + self.offset())
    }

    /// The offset from the underlying clock, in microseconds: how far a test has moved this clock.
    pub fn offset(&self) -> i64 {
        self.turned.load(Ordering::Relaxed)
    }

    /// Moves the clock ahead, for a test.
    pub fn turn(&self, by: Duration) {
        self.jump(i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
    }

    /// Moves the clock by `by` microseconds, ahead or back, for a test.
    pub fn jump(&self, by: i64) {
        self.turned.fetch_add(by, Ordering::Relaxed);
    }
}
