//! Clients that change passwords continuously, whether the server runs or not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use rekey_harness::{Connection, Result, password::chance, request, rows::hex, text};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Asked, Model};
use crate::site::Subject;

/// The data that all clients share.
pub(crate) struct Load {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) model: Model,
    /// `HOST:PORT` of the server, the same after every restart.
    pub(crate) address: String,
    pub(crate) headers: String,
    pub(crate) stop: AtomicBool,
}

/// The number of clients, each with one connection.
const CLIENTS: usize = 8;
/// One in this many requests is for one of a few people, for whom several clients contend.
const HOT: usize = 3;
/// The number of such people on each source.
const HOT_PEOPLE: usize = 2;

/// Starts the clients; each ends once `stop` is set.
pub(crate) fn start(load: &Arc<Load>) -> JoinSet<Result<()>> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(load.clone()));
    }
    clients
}

async fn client(load: Arc<Load>) -> Result<()> {
    let mut connection = None;
    while !load.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(below(16)? as u64)).await;
        let number = match below(20)? {
            0..3 => match some_earlier(&load)? {
                Some(number) => {
                    load.model.lock().resent += 1;
                    number
                }
                None => continue,
            },
            3 => match steal(&load)? {
                Some(number) => number,
                None => continue,
            },
            4 => {
                ask_status(&load, &mut connection).await?;
                continue;
            }
            _ => new(&load)?,
        };
        // After a lost answer, a client mostly sends the same body again.
        while !send(&load, &mut connection, number).await && below(4)? > 0 {
            load.model.lock().resent += 1;
        }
    }
    Ok(())
}

/// Registers a new password for a random person.
fn new(load: &Load) -> Result<usize> {
    let subject = some_subject(load)?;
    let password = chance()?;
    let ciphertext = load.subjects.get(subject).ok_or("no subject")?.info.encrypt(&password)?;
    Ok(keep(load, subject, password, ciphertext))
}

/// Picks one of the last 40 requests, to send the same body again.
fn some_earlier(load: &Load) -> Result<Option<usize>> {
    let known = load.model.lock();
    let recent = known.asked.len().min(40);
    if recent == 0 {
        return Ok(None);
    }
    Ok(Some(known.asked.len() - 1 - below(recent)?))
}

/// Registers the ciphertext of another person's recent request for a person on the same source.
fn steal(load: &Load) -> Result<Option<usize>> {
    let Some(number) = some_earlier(load)? else { return Ok(None) };
    let (subject, password, ciphertext) = match load.model.lock().asked.get(number) {
        Some(asked) => (asked.subject, asked.password.clone(), asked.ciphertext.clone()),
        None => return Ok(None),
    };
    let source = load.subjects.get(subject).map(|subject| subject.source);
    let others: Vec<usize> = (0..load.subjects.len())
        .filter(|other| {
            *other != subject && load.subjects.get(*other).map(|one| one.source) == source
        })
        .collect();
    let Some(other) = others.get(below(others.len())?).copied() else { return Ok(None) };
    // The chosen person may be the ciphertext's own origin: then the request is a resend, and its
    // entry exists.
    let is_it = |asked: &Asked| asked.subject == other && asked.ciphertext == ciphertext;
    let known = load.model.lock().asked.iter().position(is_it);
    Ok(Some(known.unwrap_or_else(|| keep(load, other, password, ciphertext))))
}

fn keep(load: &Load, subject: usize, password: String, ciphertext: Vec<u8>) -> usize {
    let digest = format!("\\x{}", hex(digest(&SHA256, &ciphertext).as_ref()));
    let mut known = load.model.lock();
    let sent = Instant::now();
    known.asked.push(Asked {
        subject,
        password,
        ciphertext,
        digest,
        sent,
        accepted: None,
        refused: false,
    });
    known.asked.len() - 1
}

fn some_subject(load: &Load) -> Result<usize> {
    let subject = below(load.subjects.len())?;
    if below(HOT)? > 0 {
        return Ok(subject);
    }
    // The first people of that source are the contended ones.
    let source = load.subjects.get(subject).map(|subject| subject.source);
    let first = load.subjects.iter().position(|other| Some(other.source) == source).unwrap_or(0);
    Ok(first + below(HOT_PEOPLE)?)
}

/// Sends the request `number`; returns whether it was answered with a status below 500.
async fn send(load: &Load, connection: &mut Option<Connection>, number: usize) -> bool {
    let body = {
        let known = load.model.lock();
        let Some(asked) = known.asked.get(number) else { return true };
        let Some(subject) = load.subjects.get(asked.subject) else { return true };
        subject.info.ask_for(&asked.ciphertext)
    };
    let asked = request("POST", "/v3/set-password", &load.headers, &body);
    let Some(answer) = exchange(load, connection, &asked).await else {
        load.model.lock().unanswered += 1;
        return false;
    };
    let (status, body) = answer;
    let said: Value = serde_json::from_str(&body).unwrap_or_default();
    let id = said.get("requestId").and_then(Value::as_str);
    load.model.lock().answered(number, status, &body, id);
    status < 500
}

/// Reads the status of an accepted request, which must be known.
async fn ask_status(load: &Load, connection: &mut Option<Connection>) -> Result<()> {
    let id = {
        let Some(number) = some_earlier(load)? else { return Ok(()) };
        let known = load.model.lock();
        let Some((_, id)) = known.asked.get(number).and_then(|asked| asked.accepted.as_ref())
        else {
            return Ok(());
        };
        id.clone()
    };
    let asked = request("GET", &format!("/v3/password-change-status/{id}"), &load.headers, "");
    if let Some((status, body)) = exchange(load, connection, &asked).await {
        let state: Value = serde_json::from_str(&body).unwrap_or_default();
        let known = status == 200 && text(&state, "requestId") == id;
        if !known && status < 500 {
            load.model.is_wrong(format!("{id} was accepted, and its status is {status}: {body}"));
        }
    }
    Ok(())
}

/// Sends one request and returns its answer; opens a connection if there is none. Returns `None` if
/// the connection ended before the answer.
async fn exchange(
    load: &Load,
    connection: &mut Option<Connection>,
    asked: &[u8],
) -> Option<(u16, String)> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(connect(load).await?),
    };
    let answer = open.ask(asked).await;
    if answer.is_err() {
        *connection = None;
    }
    answer.ok().map(|answer| (answer.status, answer.body))
}

/// Tries to connect until the server accepts; returns `None` once the load is stopped.
async fn connect(load: &Load) -> Option<Connection> {
    loop {
        if let Ok(connection) = Connection::open(&load.address).await {
            return Some(connection);
        }
        if load.stop.load(Ordering::Relaxed) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A random number below `limit`.
pub(crate) fn below(limit: usize) -> Result<usize> {
    let random = u64::from_le_bytes(rekey_vault::random()?);
    Ok(usize::try_from(random % (limit.max(1) as u64))?)
}
