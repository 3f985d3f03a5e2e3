//! Request metrics by route, and the endpoint that exports all metrics.

use crate::{
    App, Error,
    metrics::{self, Current},
    store::Tx,
};
use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};

/// The label for a request without a route: its path is the client's text, and would add a time
/// series for each value.
const NO_ROUTE: &str = "none";

/// Counts the request and its duration under the template of its route.
pub(super) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let method = known_method(request.method());
    let route = route(&request).to_owned();
    let response = next.run(request).await;
    app.metrics().answered(method, &route, response.status().as_u16(), since);
    response
}

/// The template of the request's route, or `NO_ROUTE`.
pub(super) fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str)
}

/// The method as a label. Unknown methods share one label, since clients can make up any number.
pub(super) fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// `GET /metrics`, for a listener of its own: it is unauthenticated.
pub fn metrics_router(app: App) -> Router {
    Router::new().route("/metrics", get(read)).with_state(app)
}

async fn read(State(app): State<App>) -> Response {
    match current(&app).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => error.into_response(),
    }
}

/// All metrics in Prometheus text format. Fails if the store cannot be read, so that the scrape
/// fails, too.
async fn current(app: &App) -> Result<String, Error> {
    let queue = app.store.read(|tx: &mut Tx<'_>| tx.queue_health()).await?;
    let current = Current {
        depth: queue.depth,
        oldest: queue.oldest.unwrap_or(0),
        stuck: queue.stuck.unwrap_or(0),
        breakers: app.handles.breakers(),
    };
    metrics::text(app.metrics(), current)
        .map_err(|_| Error::Internal("the metrics cannot be written".into()))
}
