//! The log: standard error, text or JSON.

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::{EnvFilter, fmt};

use crate::{Error, config::Log};

/// Starts it.
pub(super) fn start(log: &Log) -> Result<(), Error> {
    let filter = check(log)?;
    let colours = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A reader of the log that has gone away must not take the service with it.
    let lines = lines.log_internal_errors(false);
    let started = if log.json { lines.json().try_init() } else { lines.try_init() };
    started.map_err(|error| Error::Internal(error.to_string()))
}

/// Whether it can be started.
pub(super) fn check(log: &Log) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(&log.filter).map_err(|error| {
        Error::Setup(format!("log.filter: {error}: write it like info, or info,rekey::jobs=debug"))
    })
}
