//! How the queue is doing.

use std::time::Duration;

use super::{Result, Tx, changes::IN_PROGRESS};
use crate::model::column::from_row;

/// A change that has not ended so long after its deadline is stuck: no worker looks at it.
const STUCK: Duration = Duration::from_secs(30);

/// How many changes wait, and for how long.
pub struct QueueHealth {
    /// Changes that have not ended.
    pub depth: i64,
    /// The age of the oldest, in microseconds.
    pub oldest: Option<i64>,
    /// How many of them should have ended 30 s ago and more.
    pub stuck: Option<i64>,
}
from_row!(QueueHealth { depth, oldest, stuck });

impl Tx<'_> {
    /// Looks at every change that has not ended.
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
