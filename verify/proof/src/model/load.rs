//! Clients that change passwords all the time, whether the server lives or not.

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

/// What every client has.
pub(crate) struct Load {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) model: Model,
    /// `HOST:PORT` of the server, which is the same after every start.
    pub(crate) address: String,
    pub(crate) headers: String,
    pub(crate) stop: AtomicBool,
}

/// Connections.
const CLIENTS: usize = 8;
/// Of so many requests, one is for somebody whom others are busy with, too.
const HOT: usize = 3;
/// How many such people there are of each kind.
const HOT_PEOPLE: usize = 2;

/// Starts the clients; each ends when it is told to stop.
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
        // A client whose answer was lost sends the same body again, mostly.
        while !send(&load, &mut connection, number).await && below(4)? > 0 {
            load.model.lock().resent += 1;
        }
    }
    Ok(())
}

/// A new password for somebody.
fn new(load: &Load) -> Result<usize> {
    let subject = some_subject(load)?;
    let password = chance()?;
    let ciphertext = load.subjects.get(subject).ok_or("no subject")?.info.encrypt(&password)?;
    Ok(keep(load, subject, password, ciphertext))
}

/// The same body as somebody sent before, perhaps in vain.
fn some_earlier(load: &Load) -> Result<Option<usize>> {
    let known = load.model.lock();
    let recent = known.asked.len().min(40);
    if recent == 0 {
        return Ok(None);
    }
    Ok(Some(known.asked.len() - 1 - below(recent)?))
}

/// What another person sent lately, for a person of one's own on the same source.
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
    // What was stolen may have been stolen from there: then it is a resend, and first sent then.
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
    // The first few of that kind of people.
    let source = load.subjects.get(subject).map(|subject| subject.source);
    let first = load.subjects.iter().position(|other| Some(other.source) == source).unwrap_or(0);
    Ok(first + below(HOT_PEOPLE)?)
}

/// Sends the request `number`; whether an answer came.
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

/// Asks where an accepted request stands: it must be known.
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

/// One request and its answer, on a connection that is opened when there is none. None where the
/// connection ended before the answer came.
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

/// Waits until the server is there.
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
