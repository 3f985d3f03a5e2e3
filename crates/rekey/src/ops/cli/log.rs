//! The log on standard error, as text or JSON, and the export of spans to a collector.

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use super::traces::Traces;
use crate::{Error, config::Log};

/// A subscriber of spans and events.
pub(super) type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the log and, with `traces`, the export of spans.
pub(super) fn start(log: &Log, traces: Option<&Traces>) -> Result<(), Error> {
    let filter = check(log)?;
    let colours = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    // A closed standard error must not end the service.
    let lines = lines.log_internal_errors(false);
    let lines = if log.json { lines.json().boxed() } else { lines.boxed() };
    let mut listeners: Vec<Listener> = vec![lines.with_filter(filter).boxed()];
    listeners.extend(traces.map(Traces::listener));
    let started = registry().with(listeners).try_init();
    started.map_err(|error| Error::Internal(error.to_string()))
}

/// The filter of the settings, or an error if it is invalid.
pub(super) fn check(log: &Log) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(&log.filter).map_err(|error| {
        Error::Setup(format!("log.filter: {error}: write it like info, or info,rekey::jobs=debug"))
    })
}
