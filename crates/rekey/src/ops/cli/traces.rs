//! Traces: exports the spans of requests and changes to an OpenTelemetry collector over OTLP/HTTP.
//!
//! Only the attributes in [`EXPORTED`] leave the process; all others, and all events, stay in it,
//! since their texts may name people. Spans wait in a queue for an exporter thread. Spans that find
//! the queue full are dropped, so that no request ever waits for the collector.

use opentelemetry::{
    Value,
    trace::{SpanKind, Status, TracerProvider},
};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::Level;
use tracing_subscriber::{Layer, filter::filter_fn};

use self::client::{ANSWER, Client};
use super::log::Listener;
use crate::Error;

mod client;

/// The attributes that may be exported: their names in rekey's spans and in the export.
const EXPORTED: &[(&str, &str)] = &[
    ("attempt", "attempt"),
    ("method", "http.request.method"),
    ("operation", "operation"),
    ("request_id", "request_id"),
    ("route", "http.route"),
    ("source_kind", "source_kind"),
    ("state", "state"),
    ("status", "http.response.status_code"),
    ("tracking_id", "tracking_id"),
];

/// The exporter of spans.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the exporter; `None` if `endpoint` is empty.
    pub(super) fn start(endpoint: &str) -> Result<Option<Self>, Error> {
        if endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_timeout(ANSWER)
            .with_http_client(Client::default())
            .build()
            .map_err(|error| Error::Setup(format!("traces.endpoint: {error}")))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Exporter(exporter))
            .with_resource(Resource::builder().with_service_name("rekey").build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// The subscriber that collects rekey's own spans of level INFO and above.
    pub(super) fn listener(&self) -> Listener {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("rekey"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|about| {
                let ours = about.target().split("::").next() == Some("rekey");
                about.is_span() && ours && *about.level() <= Level::INFO
            }))
            .boxed()
    }

    /// Exports the remaining spans, for a few seconds at most.
    pub(super) async fn end(self) {
        // On a blocking thread: `shutdown` waits for the exporter thread, whose requests run on
        // this runtime.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be told to the collector");
        }
    }
}

/// Renames the attributes of each span for the collector, and drops those that may not be exported.
#[derive(Debug)]
struct Exporter(opentelemetry_otlp::SpanExporter);

impl SpanExporter for Exporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(translate);
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Filters and renames a span's attributes, and sets its name, kind and status from them.
fn translate(span: &mut SpanData) {
    span.attributes.retain_mut(|attribute| {
        let known = EXPORTED.iter().find(|(ours, _)| *ours == attribute.key.as_str());
        known.inspect(|(_, theirs)| attribute.key = (*theirs).into()).is_some()
    });
    let value = |name| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
        found.map(|attribute| &attribute.value)
    };
    // Collectors list spans by name.
    let name = match (value("http.request.method"), value("http.route"), value("operation")) {
        (Some(method), Some(route), _) => Some(format!("{method} {route}")),
        (.., Some(operation)) => Some(operation.to_string()),
        _ => None,
    };
    if value("http.route").is_some() {
        span.span_kind = SpanKind::Server;
    }
    if matches!(value("http.response.status_code"), Some(Value::I64(500..))) {
        span.status = Status::error("");
    }
    if let Some(name) = name {
        span.name = name.into();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::{InstrumentationScope, KeyValue, SpanId, trace::SpanContext};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    /// The request span contains the path as the client sent it, which must not be exported.
    #[test]
    fn what_is_not_in_the_list_is_not_told() {
        let span = |fields: &[(&'static str, Value)]| {
            let attributes = fields.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
            let mut span = SpanData {
                span_context: SpanContext::NONE,
                parent_span_id: SpanId::INVALID,
                parent_span_is_remote: false,
                span_kind: SpanKind::Internal,
                name: "request".into(),
                start_time: SystemTime::UNIX_EPOCH,
                end_time: SystemTime::UNIX_EPOCH,
                attributes: attributes.collect(),
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: Status::Unset,
                instrumentation_scope: InstrumentationScope::default(),
            };
            translate(&mut span);
            span
        };
        let request = span(&[
            ("method", "GET".into()),
            ("path", "/accounts/abby".into()),
            ("route", "/accounts/{id}".into()),
            ("status", 503.into()),
        ]);
        let keys: Vec<_> = request.attributes.iter().map(|told| told.key.as_str()).collect();
        assert_eq!(keys, ["http.request.method", "http.route", "http.response.status_code"]);
        assert_eq!(request.name, "GET /accounts/{id}");
        assert_eq!(request.span_kind, SpanKind::Server);
        assert_eq!(request.status, Status::error(""));
        assert_eq!(span(&[("operation", "look".into())]).name, "look");
        let other = span(&[("user", "abby".into())]);
        assert_eq!((other.name, other.attributes.len()), ("request".into(), 0));
    }
}
