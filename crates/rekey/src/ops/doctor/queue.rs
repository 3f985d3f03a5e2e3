//! The queue: whether changes come to an end.

use std::time::Duration;

use super::Report;
use crate::{App, Error, store::Tx};

/// A change that waits for longer suggests that a source is unreachable or no worker is running.
const LONG: Duration = Duration::from_mins(5);

pub(super) async fn check(report: &mut Report, app: &App, serves: bool) {
    let found: Result<_, Error> = app.store.read(|tx: &mut Tx<'_>| Ok(tx.queue_health()?)).await;
    let health = match found {
        Ok(health) => health,
        Err(error) => return report.broke("queue", &error),
    };
    let oldest = health.oldest.and_then(|micros| u64::try_from(micros).ok());
    let oldest = Duration::from_micros(oldest.unwrap_or(0));
    let (depth, seconds) = (health.depth, oldest.as_secs());
    if health.stuck.unwrap_or(0) > 0 {
        let stuck = health.stuck.unwrap_or(0);
        report.fail("queue", format!("{stuck} changes have not ended 30 s after their deadline: no worker looks at them; start `rekey serve`, or raise changes.workers above 0 on a node"));
    } else if oldest > LONG {
        let what =
            if serves { "look at the sources below and at the log" } else { "start `rekey serve`" };
        report.warn("queue", format!("{depth} changes wait, the oldest for {seconds} s: {what}"));
    } else if depth > 0 {
        report.ok("queue", format!("{depth} changes wait, the oldest for {seconds} s"));
    } else {
        report.ok("queue", "every change has ended");
    }
}
