//! Unauthenticated clients that take connections and keep them.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt, time::Duration};

use futures_util::future::join_all;
use rekey_harness::{
    Connection, Info, Place, Result, Server, password, read_accounts, request, text,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use self::attack::{connect, is_ended, network, never_reads, slow_body};
use crate::site::{self, Targets, login};

mod attack;
mod flood;

pub(super) use self::flood::flood;

/// How long an honest client waits for an answer, and how long a hostile one may stay connected.
const PATIENCE: Duration = Duration::from_secs(15);
const STAY: Duration = Duration::from_secs(40);
/// The `ulimit` arguments: the usual soft limit of descriptors, and a hard limit that some systems
/// set.
const SOFT: &str = "-Sn 1024";
const HARD: &str = "-n 1024";

/// Idle connections exceed the soft limit: rekey must raise it, answer, and reach its targets.
pub(super) async fn idle() -> Result<()> {
    let targets = Targets::named()?;
    let (place, server) = start(SOFT, Some(&targets)).await?;
    read_accounts(&server, "Directory").await?;
    let _held = take(&server, 12, 100).await?;
    let password = change(&server, "l1", "Directory").await?;
    if !login::directory(&targets, "l1", &password).await? {
        return Err("the directory does not know the new password".into());
    }
    drop(place);
    Ok(())
}

/// Idle connections from many networks fill all places: those that were idle longest must make
/// room.
pub(super) async fn full() -> Result<()> {
    let (_place, server) = start(HARD, None).await?;
    let held = take(&server, 12, 100).await?;
    for _ in 0..20 {
        ask(&server, Ipv4Addr::LOCALHOST).await?;
    }
    change(&server, "p1", "IdentityNow").await?;
    // The connections that came last must still be open: those idle longest made room.
    let ended = are_ended(held).await;
    let (first, last) = (ended.iter().take(100), ended.iter().rev().take(100));
    match (first.filter(|ended| **ended).count(), last.filter(|ended| **ended).count()) {
        (100, 0) => Ok(()),
        (first, last) => {
            Err(format!("of the first 100 {first} were ended, of the last {last}").into())
        }
    }
}

/// Requests whose bodies do not arrive fill all places: they must make room, too.
pub(super) async fn bodies() -> Result<()> {
    let (_place, server) = start(HARD, None).await?;
    let mut held = take(&server, 12, 100).await?;
    for stream in &mut held {
        // On an error this connection has made room already.
        let _ = stream.write_all(&slow_body()).await;
    }
    change(&server, "p1", "IdentityNow").await?;
    Ok(())
}

/// One network exceeds its share: its own connections make room, and other networks are unaffected.
pub(super) async fn network_share() -> Result<()> {
    let (_place, server) = start(SOFT, None).await?;
    let mut neighbour = Connection::open(&server.address).await?;
    let held = take(&server, 1, 300).await?;
    ask(&server, network(0)).await?;
    neighbour.ask(&request("GET", "/healthz", "", "")).await?;
    let open = are_ended(held).await.into_iter().filter(|ended| !ended).count();
    // The last request's connection took one place.
    if open == 255 || open == 256 {
        return Ok(());
    }
    Err(format!("one network has {open} connections").into())
}

/// Pipelined requests whose answers are not read, or only byte by byte: the server must end the
/// connection.
pub(super) async fn unread() -> Result<()> {
    let (_place, server) = start(SOFT, None).await?;
    let attacks = (0..32).map(|n| {
        let pause = (n % 2 == 1).then_some(Duration::from_millis(50));
        timeout(STAY, never_reads(&server.address, network(n), pause))
    });
    let open = join_all(attacks).await.into_iter().filter(std::result::Result::is_err).count();
    if open > 0 {
        return Err(format!("{open} of 32 are still open after {STAY:?}").into());
    }
    ask(&server, Ipv4Addr::LOCALHOST).await?;
    Ok(())
}

/// Silent connections, and heads and bodies that arrive byte by byte: the server must end them.
pub(super) async fn slow() -> Result<()> {
    let (_place, server) = start(SOFT, None).await?;
    let body = String::from_utf8(slow_body())?;
    let attacks = ["", "GET /healthz HTTP/1.1\r\nX-Slow: ", &body].map(|begin| {
        let address = &server.address;
        async move {
            let mut stream = connect(address, network(0)).await?;
            stream.write_all(begin.as_bytes()).await?;
            let (mut reader, mut writer) = stream.split();
            let mut answer = Vec::new();
            let drip = async {
                while !begin.is_empty() && writer.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = reader.read_to_end(&mut answer) => {}
                () = drip => {}
            }
            Ok::<_, rekey_harness::Error>(String::from_utf8_lossy(&answer).into_owned())
        }
    });
    for (kind, attack) in ["silence", "a slow head", "a slow body"].iter().zip(attacks) {
        let answer = timeout(STAY, attack).await.map_err(|_| format!("{kind} is still open"))??;
        let is_right =
            if kind.ends_with("body") { answer.contains(" 408 ") } else { answer.is_empty() };
        if !is_right {
            return Err(format!("{kind} was answered {answer}").into());
        }
    }
    ask(&server, Ipv4Addr::LOCALHOST).await?;
    Ok(())
}

/// Starts a rekey whose process has these limits (`ulimit`), with people, and with `targets`.
async fn start(limits: &str, targets: Option<&Targets>) -> Result<(Place, Server)> {
    let mut place = Place::new(None)?;
    site::set_up(&place, targets).await?;
    let binary = fs::canonicalize(&place.binary)?;
    let limited = place.folder().join("limited");
    let script = format!("#!/bin/sh\nulimit {limits} && exec '{}' \"$@\"\n", binary.display());
    fs::write(&limited, script)?;
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755))?;
    place.binary = limited;
    let server = Server::start(&place, &[]).await?;
    Ok((place, server))
}

/// Opens `each` idle connections from each of so many networks.
async fn take(server: &Server, networks: u32, each: usize) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for network in (0..networks).map(network) {
        for _ in 0..each {
            held.push(connect(&server.address, network).await?);
        }
    }
    Ok(held)
}

/// Whether the server has ended each of the connections, in their order.
async fn are_ended(held: Vec<TcpStream>) -> Vec<bool> {
    join_all(held.into_iter().map(is_ended)).await
}

/// Sends the request of an honest client over a new connection; returns the time until the answer.
async fn ask(server: &Server, from: Ipv4Addr) -> Result<Duration> {
    let begun = Instant::now();
    let asked = async {
        let mut connection = Connection::open_from(&server.address, from).await?;
        connection.ask(&request("GET", "/readyz", "", "")).await
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) if answer.status == 200 => Ok(begun.elapsed()),
        Ok(Ok(answer)) => Err(format!("an honest client was answered {}", answer.status).into()),
        Ok(Err(error)) => Err(format!("an honest client: {error}").into()),
        Err(_) => Err(format!("an honest client had no answer in {PATIENCE:?}").into()),
    }
}

/// Changes a password as an honest client over a new connection; returns the new password.
async fn change(server: &Server, user: &str, source: &str) -> Result<String> {
    let password = password::chance()?;
    let changed = async {
        let mut connection = Connection::open(&server.address).await?;
        let info = Info::ask(&mut connection, &server.headers(), user, source).await?;
        let body = info.change(&password)?;
        let accepted = request("POST", "/v3/set-password", &server.headers(), &body);
        let accepted = connection.ask(&accepted).await?;
        let accepted: Value = serde_json::from_str(&accepted.body)?;
        let path = format!("/v3/password-change-status/{}", text(&accepted, "requestId"));
        loop {
            let status = connection.ask(&request("GET", &path, &server.headers(), "")).await?;
            let status: Value = serde_json::from_str(&status.body)?;
            match text(&status, "state").as_str() {
                "FINISHED" => return Ok::<_, rekey_harness::Error>(()),
                "IN_PROGRESS" => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => return Err(format!("the change: {status}").into()),
            }
        }
    };
    let late = |_| format!("the change of an honest client did not end in {PATIENCE:?}");
    timeout(PATIENCE, changed).await.map_err(late)??;
    Ok(password)
}
