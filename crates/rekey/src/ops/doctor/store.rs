//! The store: whether it is writable, and whether its clock agrees with this machine's.

use std::time::{Duration, Instant};

use super::Report;
use crate::{App, Error, model::time::Clock, store::Tx};

/// Deviations of the store's clock from this machine's: beyond `OFF`, it needs attention; beyond
/// `FAR_OFF`, access tokens and log times no longer agree with the times in the store.
const OFF: Duration = Duration::from_secs(1);
const FAR_OFF: Duration = Duration::from_secs(30);

/// The setting with the time of the last check.
const EXAMINED: &str = "examined";

pub(super) async fn check(report: &mut Report, app: &App, clock: &Clock) {
    let kind = if app.store.is_postgres() { "PostgreSQL" } else { "SQLite" };
    let since = Instant::now();
    // The value must differ each time: SQLite writes nothing to disk if nothing changes.
    let written: Result<(), Error> = app
        .store
        .write(|tx: &mut Tx<'_>| {
            let now = tx.now()?.0.to_string();
            Ok(tx.set_setting(EXAMINED, &now)?)
        })
        .await;
    let took = since.elapsed().as_millis();
    match written {
        Ok(()) => report.ok(
            "store",
            format!("{kind}, its schema is this build's; a durable write took {took} ms"),
        ),
        Err(error) => {
            report.fail("store", format!("it cannot be written to: {error}"));
            return;
        }
    }
    if !app.store.is_postgres() {
        return;
    }
    let before = clock.now();
    let theirs: Result<_, Error> = app.store.read(|tx: &mut Tx<'_>| Ok(tx.now()?)).await;
    let after = clock.now();
    match theirs {
        Ok(theirs) => {
            let ours = before.0.midpoint(after.0);
            let off = Duration::from_micros(theirs.0.abs_diff(ours));
            let words = format!("PostgreSQL's is {} ms from this machine's", off.as_millis());
            if off > FAR_OFF {
                report.fail("clock", format!("{words}: let both keep time by NTP"));
            } else if off > OFF {
                report.warn("clock", format!("{words}: let both keep time by NTP"));
            } else {
                report.ok("clock", words);
            }
        }
        Err(error) => report.broke("clock", &error),
    }
}
