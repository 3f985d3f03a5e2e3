//! The state of the queue of password changes.

use std::time::Duration;

use super::{Result, Tx, changes::IN_PROGRESS};
use crate::model::column::from_row;

/// How long after its deadline an unfinished change counts as stuck: no worker has ended it.
const STUCK: Duration = Duration::from_secs(30);

/// The number of pending changes, and their age.
pub struct QueueHealth {
    /// The number of changes that have not ended.
    pub depth: i64,
    /// The age of the oldest one, in microseconds.
    pub oldest: Option<i64>,
    /// How many of them had a deadline at least 30 s ago.
    pub stuck: Option<i64>,
}
from_row!(QueueHealth { depth, oldest, stuck });

impl Tx<'_> {
    /// Reads the state of the queue. Scans every change that has not ended.
    pub fn queue_health(&mut self) -> Result<QueueHealth> {
        let now = self.now()?;
        let sql = format!(
            "SELECT COUNT(*) AS depth, $1 - MIN(created) AS oldest,
                 COUNT(CASE WHEN deadline < $2 THEN 1 END) AS stuck
             FROM password_change WHERE state = {IN_PROGRESS}"
        );
        self.one(&sql, &[&now, &now.minus(STUCK)])
    }
}
