//! A null LDAP directory: every account exists, and every change succeeds.
//!
//! An account's `entryCSN` changes with each password change, so that rekey's own comparison and
//! verification work as on a real directory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rekey_harness::Result;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The number of changes of each account.
type Changes = Arc<Mutex<HashMap<Vec<u8>, u64>>>;

/// LDAP's operations (RFC 4511, appendix B).
const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;

/// Starts the directory; returns the attributes of a source that connects to it.
pub(crate) async fn start() -> Result<Value> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let changes = Changes::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, changes.clone()));
        }
    });
    Ok(json!({
        "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": true,
        "bindDn": "cn=rekey", "bindPassword": "not checked", "baseDn": "dc=null",
        "maxConnections": 32,
    }))
}

async fn serve(stream: TcpStream, changes: Changes) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let message = message(&mut stream).await?;
        let (id, operation) = split(&message)?;
        let (kind, body, _) = element(operation)?;
        let done = |tag| tlv(0x30, &[id, &tlv(tag, &[0x0a, 1, 0, 4, 0, 4, 0])].concat());
        let answer = match kind {
            BIND => done(0x61),
            SEARCH => {
                let (_, dn, _) = element(body)?;
                let known = changes.lock().unwrap_or_else(PoisonError::into_inner);
                let moved = known.get(dn).copied().unwrap_or(0);
                drop(known);
                [tlv(0x30, &[id, &entry(dn, moved)].concat()), done(0x65)].concat()
            }
            EXTENDED => {
                // `[1]` requestValue, a SEQUENCE that begins with `[0]` userIdentity (RFC 3062).
                let (_, _, rest) = element(body)?;
                let (_, value, _) = element(rest)?;
                let (_, members, _) = element(value)?;
                let (_, dn, _) = element(members)?;
                let mut known = changes.lock().unwrap_or_else(PoisonError::into_inner);
                *known.entry(dn.to_vec()).or_default() += 1;
                drop(known);
                done(0x78)
            }
            _ => return None,
        };
        stream.get_mut().write_all(&answer).await.ok()?;
    }
}

fn entry(dn: &[u8], moved: u64) -> Vec<u8> {
    let values = tlv(0x31, &tlv(4, moved.to_string().as_bytes()));
    let attribute = tlv(0x30, &[tlv(4, b"entryCSN"), values].concat());
    tlv(0x64, &[tlv(4, dn), tlv(0x30, &attribute)].concat())
}

/// Reads the next message, without its own tag and length.
async fn message(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    if stream.read_u8().await.ok()? != 0x30 {
        return None;
    }
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

/// Splits a message into its encoded id and its operation.
fn split(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*message.get(1)?);
    message.split_at_checked(2 + length)
}

/// Splits off the first element: its tag, its content, and the bytes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (length, rest) = match usize::from(first.checked_sub(0x80).unwrap_or_default()) {
        0 => (usize::from(*first), rest),
        bytes => {
            let (length, rest) = rest.split_at_checked(bytes)?;
            (length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(value.len()) {
        Ok(short @ 0..0x80) => vec![short],
        Ok(long) => vec![0x81, long],
        Err(_) => {
            [&[0x82][..], &u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes()].concat()
        }
    };
    [&[tag][..], &length, value].concat()
}
