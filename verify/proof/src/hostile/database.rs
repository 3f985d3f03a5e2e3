//! A PostgreSQL server that attacks its clients.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rekey_harness::Result;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::victim::{PERSON, Victim};

/// The server's attack on a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Announces a message of 2 GiB in answer to the first statement, and sends it.
    Announces,
    /// Announces and sends a message of 2 GiB before the login has ended.
    AnnouncesAtLogin,
    /// Sends one byte of an answer each second, endlessly.
    Drips,
    /// Becomes another cluster, in which a role of another person has the same name and oid.
    Elsewhere,
    /// Sends garbage after the login.
    Garbage,
    /// Demands more SCRAM iterations than any client can compute.
    Iterates,
    /// Sends notices endlessly in answer to the first statement.
    Notices,
    /// Sends notices endlessly before the login has ended.
    NoticesAtLogin,
    /// Sends parameters endlessly before the login has ended.
    Parameters,
    /// Sends accounts endlessly in answer to one query for a page of them.
    Rows,
}

pub(super) async fn announces() -> Result<()> {
    aggregation(Attack::Announces, "1 MiB").await
}

pub(super) async fn announces_at_login() -> Result<()> {
    aggregation(Attack::AnnouncesAtLogin, "1 MiB").await
}

pub(super) async fn drips() -> Result<()> {
    aggregation(Attack::Drips, "did not").await
}

pub(super) async fn garbage() -> Result<()> {
    aggregation(Attack::Garbage, "1 MiB").await
}

pub(super) async fn iterates() -> Result<()> {
    aggregation(Attack::Iterates, "SCRAM iteration count").await
}

pub(super) async fn notices() -> Result<()> {
    aggregation(Attack::Notices, "1 MiB").await
}

pub(super) async fn notices_at_login() -> Result<()> {
    aggregation(Attack::NoticesAtLogin, "1 MiB").await
}

pub(super) async fn parameters() -> Result<()> {
    aggregation(Attack::Parameters, "1 MiB").await
}

pub(super) async fn rows() -> Result<()> {
    aggregation(Attack::Rows, "not asked for").await
}

/// Checks that an aggregation of a hostile server ends, with an error that contains `words`.
async fn aggregation(attack: Attack, words: &str) -> Result<()> {
    let server = Hostile::start(attack).await?;
    server.attacks.store(true, Ordering::Relaxed);
    let mut victim = server.victim(&[]).await?;
    for _ in 0..2 {
        let said = victim.aggregate().await?;
        victim.is_well().await?;
        if !said.contains(words) {
            return Err(format!("the task says {said:?}").into());
        }
    }
    Ok(())
}

/// A server that turns hostile after its accounts were read: the change must end.
pub(super) async fn turns() -> Result<()> {
    let server = Hostile::start(Attack::Announces).await?;
    let mut victim = server.victim(&[]).await?;
    let said = victim.aggregate().await?;
    if !said.is_empty() {
        return Err(format!("the accounts were not read: {said}").into());
    }
    server.attacks.store(true, Ordering::Relaxed);
    let ended = victim.change().await?;
    victim.is_well().await?;
    if ended.contains("FAILED") && ended.contains("cannot be reached") {
        return Ok(());
    }
    Err(format!("the change ended with {ended}").into())
}

/// A server that becomes another cluster: nothing may be written to a role there that has the name
/// and the oid of the account.
pub(super) async fn elsewhere() -> Result<()> {
    let server = Hostile::start(Attack::Elsewhere).await?;
    let victim = server.victim(&[]).await?;
    let said = victim.aggregate().await?;
    if !said.is_empty() {
        return Err(format!("the accounts were not read: {said}").into());
    }
    server.attacks.store(true, Ordering::Relaxed);
    let ended = victim.change().await?;
    if ended.contains("FAILED") && ended.contains("belongs to another account now") {
        return Ok(());
    }
    Err(format!("the change ended with {ended}").into())
}

/// A server outside `egress.allow` must receive no connection.
pub(super) async fn out_of_reach() -> Result<()> {
    let server = Hostile::start(Attack::Announces).await?;
    let allowed = [("REKEY_EGRESS__ALLOW", "10.0.0.0/8,db.example.com")];
    let mut victim = server.victim(&allowed).await?;
    let said = victim.aggregate().await?;
    victim.is_well().await?;
    let expected = "egress.allow does not let rekey reach 127.0.0.1: add it there";
    match server.connections.load(Ordering::Relaxed) {
        0 if said == expected => Ok(()),
        connections => Err(format!("{connections} connections, and the task says {said:?}").into()),
    }
}

/// A hostile server on a free port.
struct Hostile {
    port: u16,
    /// The server behaves, with one account, until this is set.
    attacks: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
}

impl Hostile {
    async fn start(attack: Attack) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (attacks, connections) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (is_on, count) = (attacks.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                // The task ends when the victim closes the connection.
                tokio::spawn(serve(stream, attack, is_on.clone()));
            }
        });
        Ok(Self { port, attacks, connections })
    }

    async fn victim(&self, settings: &[(&str, &str)]) -> Result<Victim> {
        let attributes = json!({
            "host": "127.0.0.1", "port": self.port, "tls": "none", "allowInsecure": true,
            "user": "rekey", "password": "none",
            "correlation": {"accountAttribute": "rolname", "identityAttribute": "alias"},
        });
        Victim::start(settings, "postgresql", attributes).await
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "each attack begins at one of these places")]
async fn serve(mut stream: TcpStream, attack: Attack, is_on: Arc<AtomicBool>) -> io::Result<()> {
    let size = stream.read_u32().await?;
    let mut startup = vec![0; usize::try_from(size).unwrap_or_default().saturating_sub(4)];
    stream.read_exact(&mut startup).await?;
    let at_login = is_on.load(Ordering::Relaxed);
    let cluster = if at_login && attack == Attack::Elsewhere { "2" } else { "1" };
    match attack {
        Attack::AnnouncesAtLogin if at_login => return announce(&mut stream, b'R').await,
        Attack::Iterates if at_login => return iterate(&mut stream).await,
        _ => stream.write_all(&message(b'R', &[0; 4])).await?,
    }
    match attack {
        Attack::NoticesAtLogin if at_login => return flood(&mut stream, |_| notice()).await,
        Attack::Parameters if at_login => {
            return flood(&mut stream, |n| message(b'S', format!("p{n}\0v\0").as_bytes())).await;
        }
        _ => stream.write_all(&ready()).await?,
    }
    loop {
        let statement = read(&mut stream).await?;
        if is_on.load(Ordering::Relaxed) {
            match attack {
                Attack::Announces => return announce(&mut stream, b'D').await,
                Attack::Elsewhere if !at_login => return Ok(()),
                Attack::Drips => return drip(&mut stream).await,
                Attack::Garbage => return flood(&mut stream, |_| vec![0xa5; 64]).await,
                Attack::Notices => return flood(&mut stream, |_| notice()).await,
                Attack::Rows if statement.contains("ORDER BY oid") => {
                    stream.write_all(&columns(3)).await?;
                    return flood(&mut stream, |n| row(&[&(n + 20_000).to_string(), "r", "f"]))
                        .await;
                }
                _ => {}
            }
        }
        stream.write_all(&answer(&statement, cluster)).await?;
    }
}

/// Reads the text of the next statement.
async fn read(stream: &mut TcpStream) -> io::Result<String> {
    stream.read_u8().await?;
    let size = stream.read_u32().await?;
    let mut body = vec![0; usize::try_from(size).unwrap_or_default().saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The answer of a server with one role.
fn answer(statement: &str, cluster: &str) -> Vec<u8> {
    let rows = if statement.contains("has_column_privilege") {
        vec![vec!["f", "f", "f", "t", cluster]]
    } else if statement.contains("oid > 0 ") {
        vec![vec!["20001", PERSON, "f"]]
    } else if statement.contains("pg_has_role") {
        vec![vec!["20001", PERSON, "t", "f", "", "f", "f"]]
    } else {
        Vec::new()
    };
    let mut answer = rows.first().map_or_else(Vec::new, |row| columns(row.len()));
    for values in rows {
        answer.extend(row(&values));
    }
    answer.extend(message(b'C', b"SELECT 1\0"));
    answer.extend(ready());
    answer
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn notice() -> Vec<u8> {
    message(b'N', b"SNOTICE\0C00000\0Mnothing\0\0")
}

fn count(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or_default().to_be_bytes()
}

/// A row description (`RowDescription`) of text columns.
fn columns(number: usize) -> Vec<u8> {
    let column = [&b"c\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xff; 6], &[0; 2]].concat();
    message(b'T', &[&count(number)[..], &column.repeat(number)].concat())
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = count(values.len()).to_vec();
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
        body.extend(value.as_bytes());
    }
    message(b'D', &body)
}

async fn announce(stream: &mut TcpStream, kind: u8) -> io::Result<()> {
    stream.write_all(&[kind, 0x7f, 0xff, 0xff, 0xff]).await?;
    flood(stream, |_| vec![0; 256]).await
}

/// Sends messages endlessly, the `n`-th as `next` returns it.
async fn flood(stream: &mut TcpStream, next: impl Fn(u64) -> Vec<u8>) -> io::Result<()> {
    let mut number = 0;
    loop {
        let mut many = Vec::with_capacity(64 * 1024);
        while many.len() < 60 * 1024 {
            number += 1;
            many.extend(next(number));
        }
        stream.write_all(&many).await?;
    }
}

async fn drip(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[b'D', 0, 0, 0xff, 0xff]).await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        stream.write_u8(0).await?;
    }
}

/// Sends a SCRAM challenge (RFC 5802) with 2^31 - 1 iterations, which take hours to compute.
async fn iterate(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).await?;
    let first = read(stream).await?;
    let nonce = first.split_once("r=").map_or("", |(_, nonce)| nonce);
    let challenge = format!("\0\0\0\x0br={nonce}x,s=c2FsdHNhbHQ=,i=2147483647");
    stream.write_all(&message(b'R', challenge.as_bytes())).await?;
    read(stream).await.map(drop)
}
