//! The accept loop on top of hyper. The framework's own sets no timeout for request heads.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{body::Body, http::Request, response::Response};
use hyper::{
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulConnection, GracefulShutdown},
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::Instant,
};
use tower::ServiceExt;

pub(crate) use self::quotes::repaired;
use self::{
    body::Arriving,
    pace::{Paced, Patience},
    places::{Full, Place, Places},
};
use crate::{
    App, Error,
    config::Config,
    http::api::{self, ClientAddress},
    jobs,
};

mod body;
mod descriptors;
mod pace;
mod places;
mod quotes;

const PATIENCE: Patience = Patience {
    first_byte: Duration::from_secs(10),
    head: Duration::from_secs(5),
    next_request: Duration::from_secs(75),
    write: Duration::from_secs(10),
};
/// The most header fields of a request.
const FIELDS: usize = 100;
/// Bytes read ahead on one connection. A request's head must fit, and so must all pipelined
/// requests that wait: hyper parses the next one when the previous response has been sent.
const BUFFER: usize = 64 * 1024;
/// Bytes of a response that the kernel buffers for a client. With the kernel's own choice, up to
/// megabytes, a slowly reading client would seem to read nothing for minutes.
const SEND_BUFFER: u32 = 64 * 1024;
/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 1024;
/// The most connections at once to the metrics listener.
const METRICS_CONNECTIONS: usize = 32;
/// The time that requests in progress have to finish at shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// The least interval between two warnings about refused connections.
const SILENCE: Duration = Duration::from_mins(1);

/// The connection limits of a listener.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The most connections at once.
    connections: usize,
    /// The most connections at once of one network, trusted proxies excepted; `None` for no limit.
    per_network: Option<usize>,
    trusted_proxies: Arc<[IpNet]>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: descriptors::CONNECTIONS,
            per_network: None,
            trusted_proxies: [].into(),
        }
    }
}

impl Bounds {
    /// The limits that the configuration and this process's open files allow.
    pub fn of(config: &Config) -> Self {
        let per_network = config.limits.connections_per_network;
        Self {
            connections: descriptors::connections(config.changes.workers),
            per_network: (per_network > 0).then_some(per_network),
            trusted_proxies: config.server.trusted_proxies.as_slice().into(),
        }
    }

    /// The network that a connection counts for: one IPv4 address, or the /64 of an IPv6 address,
    /// which is what one party usually has. `None` for a trusted proxy, which connects for many
    /// clients, and without a limit per network.
    fn network(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if self.per_network.is_none() || api::is_within(&self.trusted_proxies, peer) {
            return None;
        }
        Some(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Serves requests and runs all background jobs until `stop` is true, then closes the store.
pub async fn run(app: App, listener: TcpListener, stop: watch::Receiver<bool>) {
    let worker = tokio::spawn(jobs::worker::run(app.clone(), stop.clone()));
    let sweeper = tokio::spawn(jobs::sweep::run(app.clone(), stop.clone()));
    let jobs = tokio::spawn(jobs::run_jobs(app.clone(), stop.clone()));
    let chain = tokio::spawn(jobs::chain::run(app.clone(), stop.clone()));
    let bounds = Bounds::of(&app.config);
    answer(api::router(app.clone()), listener, bounds, stop).await;
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

/// Serves the metrics on a listener of their own until `stop` is true.
pub async fn metrics(app: App, listener: TcpListener, stop: watch::Receiver<bool>) {
    let bounds = Bounds { connections: METRICS_CONNECTIONS, ..Bounds::default() };
    answer(api::metrics_router(app), listener, bounds, stop).await;
}

/// Binds the listener. The error names the cause, and how to change `setting` to avoid it.
pub fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, Error> {
    bind(address).map_err(|error| {
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

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the buffer size.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers requests until `stop` is true, then waits up to `GRACE` for those in progress.
pub async fn answer(
    router: axum::Router,
    listener: TcpListener,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let places = Places::new(bounds.connections, bounds.per_network);
    let mut silent_until = Instant::now();
    while !*stop.borrow() {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The process is out of file descriptors: wait until connections have ended.
                    tracing::error!(%error, "no connection can be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stop.changed() => break,
        };
        let place = match places.take(bounds.network(peer.ip())).await {
            Ok(place) => place,
            Err(full) => {
                if Instant::now() >= silent_until {
                    silent_until = Instant::now() + SILENCE;
                    report(&full);
                }
                continue;
            }
        };
        let index = place.index();
        let proxies = bounds.trusted_proxies.clone();
        let connection = connection(stream, peer.ip(), proxies, Arc::new(place), router.clone());
        let connection = graceful.watch(connection);
        let task = tokio::spawn(async move {
            // A client that disconnects in the middle of a request is not worth a log line.
            let _ = connection.await;
        });
        places.belongs_to(index, task.abort_handle());
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

fn report(full: &Full) {
    if let Some(network) = full.0 {
        tracing::warn!(
            %network,
            "connections are refused: requests are being carried out on all that this network may have; if it is a proxy, name it in server.trusted_proxies, else raise limits.connections_per_network"
        );
    } else {
        tracing::warn!(
            "connections are refused: requests are being carried out on all that there may be"
        );
    }
}

fn connection(
    stream: TcpStream,
    peer: IpAddr,
    proxies: Arc<[IpNet]>,
    place: Arc<Place>,
    router: axum::Router,
) -> impl GracefulConnection<Error = hyper::Error> {
    let _ = stream.set_nodelay(true);
    let stream = Paced::new(stream, place.clone(), PATIENCE);
    let service = service_fn(move |request: Request<Incoming>| {
        let client = ClientAddress::of(peer, request.headers(), &proxies);
        serve(request, client, place.clone(), router.clone())
    });
    hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(FIELDS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
}

async fn serve(
    request: Request<Incoming>,
    client: ClientAddress,
    place: Arc<Place>,
    router: axum::Router,
) -> Result<Response, places::Ended> {
    place.work()?;
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(client);
    if let Some((uri, style)) = api::normalise(&parts.uri) {
        parts.uri = uri;
        parts.extensions.insert(style);
    }
    let body = Arriving::new(body, place.clone());
    let is_read = body.is_read();
    let Ok(mut response) = router.oneshot(Request::from_parts(parts, Body::new(body))).await;
    if !is_read.load(Ordering::Relaxed) {
        // To keep the connection, hyper would drop the rest of the body and read the next head
        // before the response has been sent: responses to pipelined requests would pile up without
        // bound.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    place.answer();
    Ok(response)
}
