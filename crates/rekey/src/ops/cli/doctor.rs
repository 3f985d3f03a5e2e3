//! `rekey doctor`: checks the installation.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::out::{self, BOLD, GREEN, PLAIN, RED, YELLOW, say};
use crate::{
    Error,
    config::Config,
    ops::doctor::{self, Verdict},
    store::Place,
};

pub(super) async fn run(file: Option<&Path>, json: bool) -> ExitCode {
    let report = doctor::examine(settings(file)).await;
    if json {
        out::json(&json!({ "ok": !report.failed(), "checks": report.checks }));
    } else {
        let widest = report.checks.iter().map(|check| check.subject.chars().count()).max();
        let width = widest.unwrap_or(0);
        for check in &report.checks {
            let (colour, word) = match check.verdict {
                Verdict::Fail => (RED, "fail"),
                Verdict::Ok => (GREEN, "ok"),
                Verdict::Warn => (YELLOW, "warn"),
            };
            let (subject, finding) = (&check.subject, &check.finding);
            say!("{BOLD}{colour}{word:<4}{PLAIN}  {subject:<width$}  {finding}");
        }
    }
    if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The settings, or the reason why they cannot be used.
fn settings(file: Option<&Path>) -> Result<Config, Error> {
    let config = Config::load(file)?;
    Place::parse(&config.store_url()?)?;
    super::log::check(&config.log)?;
    Ok(config)
}
