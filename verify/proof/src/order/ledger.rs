//! The order of acceptance, as the store has it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rekey_harness::Result;
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use super::Race;

/// How often it is looked at what has not ended.
const LOOK: Duration = Duration::from_millis(50);

/// The store, read only.
pub(super) struct Ledger {
    client: Arc<Client>,
    /// Every request that had not ended when last looked.
    open: watch::Receiver<Arc<HashSet<String>>>,
}

/// One request, as the store has it.
pub(super) struct Entry {
    /// Its place in the order of acceptance.
    pub(super) seq: i64,
    pub(super) id: String,
    /// 1 is FINISHED, 2 is FAILED.
    pub(super) state: i64,
    pub(super) errors: String,
}

impl Ledger {
    /// Connects, and keeps looking.
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

    /// Waits until all of these have ended.
    pub(super) async fn ended(&self, ids: &[String]) -> Result<()> {
        let mut open = self.open.clone();
        open.mark_unchanged();
        // The look that is under way may have begun before they were accepted.
        open.changed().await?;
        open.changed().await?;
        open.wait_for(|open| ids.iter().all(|id| !open.contains(id))).await?;
        Ok(())
    }

    /// These, in the order in which they were accepted.
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

    /// The verifier of an account on rekey's own source.
    pub(super) async fn built_in(&self, who: &str) -> Result<String> {
        let sql = "SELECT verifier FROM builtin_password WHERE native_identity = $1";
        let row = self.client.query_opt(sql, &[&who]).await?;
        Ok(row.ok_or_else(|| format!("{who} has no password"))?.get(0))
    }

    /// For each source and account: how many changes were applied there, how many of rekey's own
    /// passwords were written, and how often claims were taken up again.
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

    /// Now, on the store's clock.
    pub(super) async fn now(&self) -> Result<i64> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// What nodes are carrying out, or were when they died.
    pub(super) async fn claimed(&self) -> Result<Vec<String>> {
        let sql = "SELECT id FROM password_change WHERE state = 0 AND claimed_by IS NOT NULL";
        Ok(self.client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// How long after `moment` the last of these ended; until now, if one has not.
    pub(super) async fn ended_after(&self, moment: i64, ids: &[String]) -> Result<Duration> {
        let sql = "SELECT coalesce(max(coalesce(ended, $1) - $2), 0)::bigint
                   FROM password_change WHERE id = ANY($3)";
        let row = self.client.query_one(sql, &[&self.now().await?, &moment, &ids]).await?;
        Ok(Duration::from_micros(u64::try_from(row.get::<_, i64>(0))?))
    }

    /// What must hold of every request, whatever it asked for.
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

    /// How often transactions of the store waited for each other for good.
    pub(super) async fn deadlocks(&self) -> Result<i64> {
        // The figures of ended sessions come a moment later.
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }
}

/// What rekey says it did to one account.
pub(super) struct Applied {
    pub(super) source: String,
    pub(super) who: String,
    pub(super) changes: i64,
    pub(super) built_in_writes: i64,
    pub(super) again: i64,
}
