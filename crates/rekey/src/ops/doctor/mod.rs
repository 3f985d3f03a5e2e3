//! `rekey doctor`: checks the installation and reports how to repair it.
//!
//! One file for each subject; each adds its checks to the [`Report`]. The checks change nothing but
//! one setting, which is written to test whether the store is writable. Opening the store may
//! migrate its schema, as at every start.

use serde::Serialize;

use crate::{App, Error, config::Config, model::time::Clock, ops::open};

mod accounts;
mod audit;
mod listen;
mod machine;
mod queue;
mod sources;
mod store;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The installation must be repaired.
    Fail,
    /// Nothing to do.
    Ok,
    /// The service works, but needs attention.
    Warn,
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The result.
    pub verdict: Verdict,
    /// The object that was checked.
    pub subject: String,
    /// The finding, and what to do.
    pub finding: String,
}

/// The results of all checks.
#[derive(Debug, Default)]
pub struct Report {
    /// The checks, in the order in which they ran.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether at least one check failed.
    pub fn failed(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == Verdict::Fail)
    }

    fn add(&mut self, verdict: Verdict, subject: impl Into<String>, finding: impl Into<String>) {
        let (subject, finding) = (subject.into(), finding.into());
        self.checks.push(Check { verdict, subject, finding });
    }

    fn ok(&mut self, subject: impl Into<String>, finding: impl Into<String>) {
        self.add(Verdict::Ok, subject, finding);
    }

    fn warn(&mut self, subject: impl Into<String>, finding: impl Into<String>) {
        self.add(Verdict::Warn, subject, finding);
    }

    fn fail(&mut self, subject: impl Into<String>, finding: impl Into<String>) {
        self.add(Verdict::Fail, subject, finding);
    }

    /// Adds a failure for a check that could not run.
    fn broke(&mut self, subject: impl Into<String>, error: &Error) {
        self.fail(subject, error.to_string());
    }
}

/// Runs all checks that are possible with these settings.
pub async fn examine(config: Result<Config, Error>) -> Report {
    let mut report = Report::default();
    machine::core_dumps(&mut report);
    machine::swap(&mut report);
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            report.broke("settings", &error);
            return report;
        }
    };
    report.ok("settings", "they can be used");
    machine::folder(&mut report, &config);
    machine::master_key(&mut report, &config);
    machine::disk(&mut report, &config);
    let serves = listen::check(&mut report, &config).await;
    match open::existing(config).await {
        Ok(app) => {
            within(&mut report, &app, serves).await;
            app.store.close().await;
        }
        Err(error) => report.broke("store", &error),
    }
    report
}

async fn within(report: &mut Report, app: &App, serves: bool) {
    store::check(report, app, &Clock::default()).await;
    queue::check(report, app, serves).await;
    audit::check(report, app, serves).await;
    sources::check(report, app).await;
    accounts::check(report, app).await;
}
