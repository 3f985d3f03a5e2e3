//! The end of the audit trail. `rekey audit verify` checks all of it.

use super::Report;
use crate::{App, audit::verify};

/// The number of entries that are checked.
const TAIL: i64 = 1000;

pub(super) async fn check(report: &mut Report, app: &App, serves: bool) {
    let found = match verify::tail(&app.audit, TAIL).await {
        Ok(found) => found,
        Err(error) => return report.broke("audit", &error),
    };
    let waiting = found.waiting;
    if found.wrong() > 0 {
        report.fail("audit", format!("the last {TAIL} entries were altered in {} places: run `rekey audit verify`, which names them", found.wrong()));
    } else if waiting > usize::try_from(TAIL).unwrap_or(0) && serves {
        report.warn(
            "audit",
            format!("{waiting} entries are not chained: look for `audit` in the log of the server"),
        );
    } else {
        report
            .ok("audit", format!("the last entries of {} are as rekey wrote them", found.entries));
    }
}
