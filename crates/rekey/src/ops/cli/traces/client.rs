//! The exporter's HTTP client. The exporter has a thread of its own, but its requests run on the
//! process's runtime.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::{runtime::Handle, time::timeout};

/// The time that a collector may take for one batch, retries included.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// The longest response that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// The least interval between two warnings that the collector accepts no spans.
const SAID: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct Client {
    runtime: Handle,
    hyper: Hyper<HttpConnector, Full<Bytes>>,
    said: Mutex<Option<Instant>>,
}

impl Default for Client {
    fn default() -> Self {
        let hyper = Hyper::builder(TokioExecutor::new()).build_http();
        Self { runtime: Handle::current(), hyper, said: Mutex::default() }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.hyper.request(request.map(Full::new));
        let answered = async {
            let (parts, body) = answer.await?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        let told = self.runtime.spawn(async { timeout(ANSWER, answered).await? }).await?;
        match &told {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.say(&response.status()),
            Err(error) => self.say(error),
        }
        told
    }
}

impl Client {
    /// Logs a failed export, but rarely: no function of rekey depends on the collector.
    fn say(&self, why: &dyn std::fmt::Display) {
        let Ok(mut said) = self.said.lock() else { return };
        if said.is_none_or(|said| said.elapsed() > SAID) {
            *said = Some(Instant::now());
            tracing::warn!(%why, "the collector of traces.endpoint takes none: they are lost until it does");
        }
    }
}
