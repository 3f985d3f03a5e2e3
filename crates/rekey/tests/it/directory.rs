//! A test LDAP server that lists given entries and accepts every bind.

use std::sync::{Arc, Mutex};

use rekey::{
    model::id::SourceId,
    store::{Store, Tx},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Directory {
    port: u16,
    listed: Arc<Mutex<Vec<Entry>>>,
    changes: Arc<Mutex<Option<(Store, SourceId)>>>,
    manners: Arc<Mutex<Manners>>,
}

/// An entry's `uid`, and its own `description` if it has one.
type Entry = (String, Option<String>);

/// Further behaviour of the server.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// The server never reports the end of a list.
    pub(crate) never_ends: bool,
    /// The length of the `description` of every entry without one of its own.
    pub(crate) description: usize,
}

impl Directory {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listed = Arc::new(Mutex::new(Vec::new()));
        let changes = Arc::new(Mutex::new(None));
        let manners = Arc::new(Mutex::new(Manners::default()));
        let (told, moves, behaves) = (listed.clone(), changes.clone(), manners.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, told.clone(), moves.clone(), behaves.clone()));
            }
        });
        Self { port, listed, changes, manners }
    }

    /// Sets the people that the server lists from now on.
    pub(crate) fn lists(&self, people: std::ops::Range<usize>) {
        *self.listed.lock().unwrap() = people.map(|n| (format!("p{n:03}"), None)).collect();
    }

    /// Sets the entries that the server lists from now on, each with `uid` and `description`.
    pub(crate) fn lists_these(&self, entries: &[(&str, &str)]) {
        let owned = |(uid, text): &(&str, &str)| ((*uid).to_owned(), Some((*text).to_owned()));
        *self.listed.lock().unwrap() = entries.iter().map(owned).collect();
    }

    /// Sets the server's behaviour from now on.
    pub(crate) fn behaves(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// Increments the version of the source once, while it is being listed.
    pub(crate) fn before_listing(&self, store: Store, source: SourceId) {
        *self.changes.lock().unwrap() = Some((store, source));
    }

    /// The attributes of a source that connects to this server.
    pub(crate) fn attributes(&self) -> Value {
        json!({
            "host": "127.0.0.1", "port": self.port, "tls": "none", "allowInsecure": true,
            "bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example,dc=com",
            "attributes": ["description"],
        })
    }
}

async fn serve(
    mut stream: TcpStream,
    listed: Arc<Mutex<Vec<Entry>>>,
    changes: Arc<Mutex<Option<(Store, SourceId)>>>,
    manners: Arc<Mutex<Manners>>,
) {
    while let Some(message) = message(&mut stream).await {
        // A message id of up to four bytes, then the operation.
        let length = usize::from(message[1]);
        let (id, operation) = (&message[..2 + length], &message[2 + length..]);
        let done = |tag| [id, &tlv(tag, &[0x0a, 1, 0, 4, 0, 4, 0])].concat();
        let mut answers = Vec::new();
        let manners = *manners.lock().unwrap();
        match operation[0] {
            0x60 => answers.push(done(0x61)),
            0x63 => {
                if is_subtree(operation) {
                    let change = changes.lock().unwrap().take();
                    if let Some((store, id)) = change {
                        moved(&store, id).await;
                    }
                    let people = listed.lock().unwrap().clone();
                    let usual = "x".repeat(manners.description);
                    let entry = |(uid, description): &Entry| {
                        let description = description.as_deref().unwrap_or(&usual);
                        [id, &entry(uid, description)].concat()
                    };
                    answers.extend(people.iter().map(entry));
                }
                if !(manners.never_ends && is_subtree(operation)) {
                    answers.push(done(0x65));
                }
            }
            // The "Who am I?" response does not name the identity.
            0x77 => answers.push(done(0x78)),
            _ => return,
        }
        let bytes: Vec<_> = answers.iter().flat_map(|answer| tlv(0x30, answer)).collect();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn moved(store: &Store, id: SourceId) {
    let write = move |tx: &mut Tx<'_>| -> Result<(), rekey::Error> {
        let mut source = tx.source(&id)?.unwrap();
        source.version += 1;
        Ok(tx.update_source(&source)?)
    };
    store.write(write).await.unwrap();
}

/// Reads the next message, without its own tag and length.
async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    assert_eq!(stream.read_u8().await.ok()?, 0x30);
    let mut length = usize::from(stream.read_u8().await.ok()?);
    if length > 0x80 {
        let bytes = length - 0x80;
        length = 0;
        for _ in 0..bytes {
            length = (length << 8) | usize::from(stream.read_u8().await.ok()?);
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// Whether a search has subtree scope; the scope follows the base, `dc=example,dc=com`.
fn is_subtree(search: &[u8]) -> bool {
    let base = b"dc=example,dc=com";
    let at = search.windows(base.len()).position(|part| part == base);
    at.is_some_and(|at| search[at + base.len()..].starts_with(&[0x0a, 1, 2]))
}

fn entry(uid: &str, description: &str) -> Vec<u8> {
    let name = tlv(4, format!("uid={uid},dc=example,dc=com").as_bytes());
    let attribute = |name: &str, value: &[u8]| {
        tlv(0x30, &[tlv(4, name.as_bytes()), tlv(0x31, &tlv(4, value))].concat())
    };
    let mut attributes = attribute("uid", uid.as_bytes());
    if !description.is_empty() {
        attributes.extend(attribute("description", description.as_bytes()));
    }
    tlv(0x64, &[name, tlv(0x30, &attributes)].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(value.len()) {
        Ok(length @ ..0x80) => vec![length],
        Ok(length) => vec![0x81, length],
        Err(_) => [&[0x84][..], &u32::try_from(value.len()).unwrap().to_be_bytes()].concat(),
    };
    [&[tag][..], &length, value].concat()
}
