//! The accept loop: our own on hyper, since the framework's sets no time for headers.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

use self::quotes::Quotes;
pub(crate) use self::quotes::repaired;
use crate::{App, Error, api, jobs};

mod quotes;

/// How long a client may take to send its headers, from the first byte.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a kept connection may stay without a request.
const IDLE: Duration = Duration::from_secs(75);
/// Header fields at most.
const FIELDS: usize = 100;
/// Bytes read ahead on one connection: a request's head must fit.
const BUFFER: usize = 64 * 1024;
/// Connections at once.
const CONNECTIONS: usize = 4096;
/// How long the requests under way may take when it stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves requests and carries out changes until `stop` says so.
pub async fn run(app: App, listener: TcpListener, stop: watch::Receiver<bool>) {
    let worker = tokio::spawn(jobs::worker::run(app.clone(), stop.clone()));
    let sweeper = tokio::spawn(jobs::sweep::run(app.clone(), stop.clone()));
    let jobs = tokio::spawn(jobs::run_jobs(app.clone(), stop.clone()));
    let chain = tokio::spawn(jobs::chain::run(app.clone(), stop.clone()));
    answer(api::router(app.clone()), listener, stop).await;
    if worker.await.is_err()
        || sweeper.await.is_err()
        || jobs.await.is_err()
        || chain.await.is_err()
    {
        tracing::error!("a part of rekey broke");
    }
    jobs::chain::finish(&app).await;
    app.store.close().await;
}

/// Serves the metrics on an address of their own until `stop` says so.
pub async fn metrics(app: App, listener: TcpListener, stop: watch::Receiver<bool>) {
    answer(api::metrics_router(app), listener, stop).await;
}

/// Takes the port, or says who to ask.
pub async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = if error.kind() == ErrorKind::AddrInUse {
            format!("another program does; stop that, or set {setting} to another port")
        } else if error.kind() == ErrorKind::AddrNotAvailable {
            format!("this machine has no such address; set {setting} to one it has, or to 0.0.0.0")
        } else if error.kind() == ErrorKind::PermissionDenied {
            format!("this user may not; set {setting} to a port above 1023")
        } else {
            format!("{error}; set {setting} to another address")
        };
        Error::Setup(format!("rekey cannot listen on {address}: {why}"))
    })
}

/// Answers requests until `stop` says so, and then those under way.
pub async fn answer(router: axum::Router, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while !*stop.borrow() {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors: wait for some to come back.
                    tracing::error!(%error, "no connection can be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stop.changed() => break,
        };
        let connection = connection(stream, peer, router.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is no event.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
) -> impl GracefulConnection<Error = hyper::Error> {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(ConnectInfo(peer));
            if let Some((uri, style)) = api::normalise(&parts.uri) {
                parts.uri = uri;
                parts.extensions.insert(style);
            }
            router.oneshot(Request::from_parts(parts, Body::new(body))).await
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(FIELDS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Quotes::new(stream, HEADERS)), service)
}
