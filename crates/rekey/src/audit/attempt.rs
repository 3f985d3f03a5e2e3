//! Audit rows about attempts that change nothing in the store: refusals, and reads that only
//! administrators may do.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    Trail,
    budget::{Budgets, Key, Missed, Party},
};
use crate::{
    model::audit::Origin,
    store::{self, Audit, Tx},
};

/// Most rows that are being written at once.
const AT_ONCE: u32 = 1000;

/// An attempt that changes nothing in the store.
pub struct Attempt<'a> {
    /// The party that made the attempt.
    pub actor: &'a str,
    /// The action.
    pub action: &'static str,
    /// The object of the action.
    pub object: &'a str,
    /// The reason of a refusal; `None` if the attempt was allowed.
    pub why: Option<&'static str>,
    /// Further members: see [`Audit::detail`].
    pub detail: Value,
    /// The party whose budget pays for the row.
    pub party: Party,
}

/// The budgets and the pending rows of one node.
pub struct Attempts {
    budgets: Budgets,
    writing: Arc<Semaphore>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { budgets: Budgets::default(), writing: Arc::new(Semaphore::new(AT_ONCE as usize)) }
    }
}

/// Records an attempt, or counts it if its budget is spent.
///
/// The row is written after the answer. Otherwise the time of the answer would reveal whose budget
/// is spent, and so whether a name or a client exists.
pub fn attempted(trail: &Trail, attempt: Attempt<'_>) {
    let Attempt { actor, action, object, why, detail, party } = attempt;
    if let Some(why) = why {
        tracing::info!(action, actor, object, why, "refused");
    }
    let key = Key { action, why, party };
    let Attempts { budgets, writing } = &trail.attempts;
    let permit = writing.clone().try_acquire_owned().ok();
    if !budgets.draw(key, actor, object, trail.clock.now(), permit.is_some()) {
        return;
    }
    let (store, actor, object) = (trail.store.clone(), actor.to_owned(), object.to_owned());
    tokio::spawn(Origin::carried(async move {
        let written = store.write(move |tx: &mut Tx<'_>| {
            let detail = detail.clone();
            let row = Audit { actor: &actor, action, object: &object, detail };
            record(tx, row, why)
        });
        if let Err(error) = written.await {
            tracing::warn!(action, %error, "an attempt could not be recorded");
        }
        drop(permit);
    }));
}

fn record(tx: &mut Tx<'_>, row: Audit<'_>, why: Option<&str>) -> store::Result<()> {
    match why {
        Some(why) => tx.audit_failure(row, why),
        None => tx.audit(row),
    }
}

/// Writes a row for each count whose budget has a row again.
pub async fn report_missed(trail: &Trail) -> store::Result<()> {
    write_missed(trail, trail.attempts.budgets.due(trail.clock.now(), false)).await
}

/// Waits until the rows of all attempts so far are written.
pub async fn attempts_written(trail: &Trail) {
    // Each pending row holds a permit, so that all permits are free only when no row is pending.
    let _ = trail.attempts.writing.acquire_many(AT_ONCE).await;
}

/// Writes the pending rows and counts, at shutdown.
pub async fn finish_attempts(trail: &Trail) -> store::Result<()> {
    attempts_written(trail).await;
    write_missed(trail, trail.attempts.budgets.due(trail.clock.now(), true)).await
}

async fn write_missed(trail: &Trail, missed: Vec<Missed>) -> store::Result<()> {
    if missed.is_empty() {
        return Ok(());
    }
    let record = move |tx: &mut Tx<'_>| missed.iter().try_for_each(|missed| missed.record(tx));
    trail.store.write(record).await
}

impl Missed {
    fn record(&self, tx: &mut Tx<'_>) -> store::Result<()> {
        let Self { key, actor, object, count, from, until } = self;
        let detail = json!({
            "notRecorded": count, "from": from.rfc3339(), "until": until.rfc3339(),
        });
        let row = Audit { actor, action: key.action, object, detail };
        let why = key.why.map(|why| format!("{why}: {count} more were not recorded"));
        record(tx, row, why.as_deref())
    }
}
