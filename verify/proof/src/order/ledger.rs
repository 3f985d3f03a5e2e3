//! The order of acceptance, as the store holds it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rekey_harness::Result;
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use super::Race;

/// The interval between two readings of the open changes.
const LOOK: Duration = Duration::from_millis(50);

/// A connection to the store that only reads.
pub(super) struct Ledger {
    client: Arc<Client>,
    /// The requests that had not ended at the last reading.
    open: watch::Receiver<Arc<HashSet<String>>>,
}

/// One request, as the store holds it.
pub(super) struct Entry {
    /// The request's place in the order of acceptance.
    pub(super) seq: i64,
    pub(super) id: String,
    /// 1 is `FINISHED`, 2 is `FAILED`.
    pub(super) state: i64,
    pub(super) errors: String,
}

impl Ledger {
    /// Connects to the store, and starts reading the open changes periodically.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let (client, (tell, open)) = (Arc::new(client), watch::channel(Arc::default()));
        let looking = client.clone();
        tokio::spawn(async move {
            let sql = "SELECT id FROM password_change WHERE state = 0";
            let Ok(statement) = looking.prepare(sql).await else { return };
            while let Ok(rows) = looking.query(&statement, &[]).await {
                let ids = rows.iter().map(|row| row.get(0)).collect();
                if tell.send(Arc::new(ids)).is_err() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(Self { client, open })
    }

    /// Waits until all of these requests have ended.
    pub(super) async fn ended(&self, ids: &[String]) -> Result<()> {
        let mut open = self.open.clone();
        open.mark_unchanged();
        // The reading under way may have begun before the requests were accepted: wait for two.
        open.changed().await?;
        open.changed().await?;
        open.wait_for(|open| ids.iter().all(|id| !open.contains(id))).await?;
        Ok(())
    }

    /// Returns these requests in the order of acceptance.
    pub(super) async fn in_order(&self, ids: &[String]) -> Result<Vec<Entry>> {
        let sql =
            "SELECT seq, id, state, errors FROM password_change WHERE id = ANY($1) ORDER BY seq";
        let rows = self.client.query(sql, &[&ids]).await?;
        let entry = |row: &tokio_postgres::Row| Entry {
            seq: row.get(0),
            id: row.get(1),
            state: row.get(2),
            errors: row.get(3),
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// The verifier of an account on the built-in source.
    pub(super) async fn built_in(&self, who: &str) -> Result<String> {
        let sql = "SELECT verifier FROM builtin_password WHERE native_identity = $1";
        let row = self.client.query_opt(sql, &[&who]).await?;
        Ok(row.ok_or_else(|| format!("{who} has no password"))?.get(0))
    }

    /// Returns, for each source and account, the number of applied changes, of writes to the
    /// built-in source, and of claims that were taken over.
    pub(super) async fn applied(&self) -> Result<Vec<Applied>> {
        let sql = "SELECT s.name, a.native_identity, count(*) FILTER (WHERE c.state = 1 OR t.state = 2),
                       coalesce(max(b.changes), 0), coalesce(sum(greatest(c.attempt - 1, 0)), 0)::bigint
                   FROM password_change_target t
                   JOIN password_change c ON c.seq = t.change_seq
                   JOIN account a ON a.id = t.account_id
                   JOIN source s ON s.id = t.source_id
                   LEFT JOIN builtin_password b
                     ON b.source_id = t.source_id AND b.native_identity = a.native_identity
                   GROUP BY s.name, a.native_identity";
        let rows = self.client.query(sql, &[]).await?;
        let applied = |row: &tokio_postgres::Row| Applied {
            source: row.get(0),
            who: row.get(1),
            changes: row.get(2),
            built_in_writes: row.get(3),
            again: row.get(4),
        };
        Ok(rows.iter().map(applied).collect())
    }

    /// The current time on the store's clock, in microseconds since 1970.
    pub(super) async fn now(&self) -> Result<i64> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// The ids of the changes that a node is executing, or was executing when it died.
    pub(super) async fn claimed(&self) -> Result<Vec<String>> {
        let sql = "SELECT id FROM password_change WHERE state = 0 AND claimed_by IS NOT NULL";
        Ok(self.client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// How long after `moment` the last of these changes ended, or the time since then if one has
    /// not.
    pub(super) async fn ended_after(&self, moment: i64, ids: &[String]) -> Result<Duration> {
        let sql = "SELECT coalesce(max(coalesce(ended, $1) - $2), 0)::bigint
                   FROM password_change WHERE id = ANY($3)";
        let row = self.client.query_one(sql, &[&self.now().await?, &moment, &ids]).await?;
        Ok(Duration::from_micros(u64::try_from(row.get::<_, i64>(0))?))
    }

    /// Checks what must hold of every request: it ended in time, keeps no ciphertext, and has one
    /// start row and one end row in the audit trail.
    pub(super) async fn check(&self, race: &Race) -> Result<()> {
        let sql =
            "SELECT id FROM password_change WHERE ended IS NULL OR ended > deadline + 30000000";
        for row in self.client.query(sql, &[]).await? {
            race.blame(&format!("{} did not end in time", row.get::<_, String>(0)));
        }
        let sql = "SELECT id FROM password_change WHERE state <> 0 AND payload IS NOT NULL";
        for row in self.client.query(sql, &[]).await? {
            race.blame(&format!(
                "{} has ended and its ciphertext is still there",
                row.get::<_, String>(0)
            ));
        }
        let sql = "SELECT c.id FROM password_change c WHERE
                       (SELECT count(*) FROM audit WHERE object = c.id AND action = 'PasswordsRequestStart') <> 1
                    OR (SELECT count(*) FROM audit WHERE object = c.id AND action <> 'PasswordsRequestStart') <> 1";
        for row in self.client.query(sql, &[]).await? {
            race.blame(&format!("{} is not twice in the audit trail", row.get::<_, String>(0)));
        }
        Ok(())
    }

    /// The number of deadlocks between transactions of the store.
    pub(super) async fn deadlocks(&self) -> Result<i64> {
        // The figures of an ended session are added with a short delay.
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }
}

/// The changes of one account that rekey reports as applied.
pub(super) struct Applied {
    pub(super) source: String,
    pub(super) who: String,
    pub(super) changes: i64,
    pub(super) built_in_writes: i64,
    pub(super) again: i64,
}
