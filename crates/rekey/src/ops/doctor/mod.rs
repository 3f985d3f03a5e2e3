//! `rekey doctor`: is everything as it should be, and what to do where it is not.
//!
//! One file per subject; each adds its checks to the [`Report`]. Nothing here changes anything but
//! for one setting, written to see whether the store can be written to.

use serde::Serialize;

use crate::{App, Error, config::Config, model::time::Clock, ops::open};

mod accounts;
mod audit;
mod listen;
mod machine;
mod queue;
mod sources;
mod store;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It must be repaired.
    Fail,
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Warn,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Check {
    /// How it went.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: String,
    /// What was found, and what to do.
    pub finding: String,
}

/// Every line.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order they were looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether something must be repaired.
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

    /// What could not even be asked.
    fn broke(&mut self, subject: impl Into<String>, error: &Error) {
        self.fail(subject, error.to_string());
    }
}

/// Looks at everything that can be looked at with these settings.
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
