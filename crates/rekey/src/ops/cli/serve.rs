//! `rekey serve`: the whole service, until SIGTERM or SIGINT.

use std::{
    io::{IsTerminal, stdout},
    process::ExitCode,
};

use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    out::{self, say},
    traces::Traces,
};
use crate::{
    App, Error,
    bootstrap::{self, Bootstrap},
    config::Config,
    model::time::Clock,
    ops::open,
};

pub(super) async fn run(mut config: Config, json: bool) -> Result<ExitCode, Error> {
    let traces = Traces::start(&config.traces.endpoint)?;
    super::log::start(&config.log, traces.as_ref())?;
    let listener = crate::http::serve::listen(config.server.listen, "server.listen")?;
    let metrics = match config.metrics.listen {
        Some(address) => Some(crate::http::serve::listen(address, "metrics.listen")?),
        None => None,
    };
    config.server.listen = listener.local_addr().map_err(|e| Error::Internal(e.to_string()))?;
    let app = open::or_create(config, Clock::default()).await?;
    let stop = until_stopped()?;
    let first = bootstrap::first_start(&app).await?;
    if let Some(first) = first.filter(|_| !json) {
        welcome(&app, &first);
    }
    let base = app.config.base_url();
    let metrics_url = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    let metrics_url = metrics_url.map(|address| format!("http://{address}/metrics"));
    if json {
        out::json(&json!({ "baseUrl": base, "metricsUrl": metrics_url }));
    } else {
        if let Some(url) = &metrics_url {
            say!("metrics are on {url}");
        }
        say!("rekey serves on {base}");
    }
    if let Some(listener) = metrics {
        tokio::spawn(crate::http::serve::metrics(app.clone(), listener, stop.clone()));
    }
    crate::http::serve::run(app, listener, stop).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// A value that becomes true at the first SIGTERM or SIGINT; the second signal exits the process at
/// once.
pub(crate) fn until_stopped() -> Result<watch::Receiver<bool>, Error> {
    let on = |kind| signal(kind).map_err(|error| Error::Internal(error.to_string()));
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = term.recv() => (), _ = int.recv() => () };
        next().await;
        stop.send_replace(true);
        tracing::info!("stopping: the requests under way are finished first");
        next().await;
        std::process::exit(1);
    });
    Ok(stopped)
}

/// Prints the greeting of the first start. The secret is printed only to a terminal: other output
/// may be a log, and no log may contain a secret.
fn welcome(app: &App, first: &Bootstrap) {
    let Bootstrap { base_url, api_client_id, api_client_secret, .. } = first;
    let secret = if stdout().is_terminal() { api_client_secret } else { "(its apiClientSecret)" };
    say!("Welcome. This is the first start; the first credentials are in");
    say!("  {}", bootstrap::file(app).display());
    say!("Keep that file safe, or delete it once you have noted what is in it.\n");
    say!("Any SailPoint SDK or the sail command works with rekey after");
    say!(
        "  export SAIL_BASE_URL={base_url} SAIL_CLIENT_ID={api_client_id} SAIL_CLIENT_SECRET={secret}\n"
    );
}
