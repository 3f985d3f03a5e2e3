//! An LDAP server that attacks its clients.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rekey_harness::Result;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::sleep,
};

use super::victim::{PERSON, Victim};

/// The server's attack on a client that searches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// Lists 500 other accounts each time, and then sends garbage.
    Accumulates,
    /// Announces a message of 2 GiB, and sends it.
    Announces,
    /// Sends pages without entries, each with a cookie for the next page.
    Cookies,
    /// Sends elements nested 10,000 deep: 60 KB.
    Deep,
    /// Sends one byte of an entry each second.
    Drips,
    /// Sends entries endlessly in answer to one request for a page of them.
    Entries,
    /// Sends an entry larger than an account may be, in a message of permitted size.
    FatEntry,
    /// Sends garbage.
    Garbage,
    /// Sends an entry of 8 MiB.
    LargeEntry,
    /// Puts the received password, disguised, into the text of each later refusal.
    Repeats,
    /// Sends an entry every 8 s.
    Trickles,
    /// Sends an answer with a message id that no request had.
    WrongId,
}

/// Checks that rekey keeps no more accounts than the limit allows, however many are listed.
pub(super) async fn accumulates() -> Result<()> {
    let directory = Hostile::start(Attack::Accumulates).await?;
    directory.attacks.store(true, Ordering::Relaxed);
    let limit = ("REKEY_LIMITS__ACCOUNTS_PER_SOURCE", "1200");
    let mut victim = Victim::start(&[limit], "ldap", directory.attributes()).await?;
    let mut kept = Vec::new();
    for _ in 0..3 {
        victim.aggregate().await?;
        victim.is_well().await?;
        kept.push(victim.accounts().await?);
    }
    if kept == [500, 1000, 1200] { Ok(()) } else { Err(format!("it kept {kept:?}").into()) }
}

pub(super) async fn announces() -> Result<()> {
    aggregation(Attack::Announces, "not LDAP").await
}

pub(super) async fn cookies() -> Result<()> {
    aggregation(Attack::Cookies, "does not end its list").await
}

pub(super) async fn deep() -> Result<()> {
    aggregation(Attack::Deep, "not LDAP").await
}

pub(super) async fn drips() -> Result<()> {
    aggregation(Attack::Drips, "did not answer within").await
}

pub(super) async fn entries() -> Result<()> {
    aggregation(Attack::Entries, "more than the 500 entries").await
}

pub(super) async fn fat_entry() -> Result<()> {
    aggregation(Attack::FatEntry, "larger than 64 KiB").await
}

pub(super) async fn garbage() -> Result<()> {
    aggregation(Attack::Garbage, "not LDAP").await
}

pub(super) async fn large_entry() -> Result<()> {
    aggregation(Attack::LargeEntry, "not LDAP").await
}

pub(super) async fn trickles() -> Result<()> {
    let directory = Hostile::start(Attack::Trickles).await?;
    directory.attacks.store(true, Ordering::Relaxed);
    fails(&mut directory.victim().await?, "the source is too slow").await
}

pub(super) async fn wrong_id() -> Result<()> {
    aggregation(Attack::WrongId, "not LDAP").await
}

/// Checks that an aggregation of a hostile directory ends, with an error that contains `words`.
async fn aggregation(attack: Attack, words: &str) -> Result<()> {
    let directory = Hostile::start(attack).await?;
    directory.attacks.store(true, Ordering::Relaxed);
    let mut victim = directory.victim().await?;
    for _ in 0..2 {
        fails(&mut victim, words).await?;
    }
    Ok(())
}

async fn fails(victim: &mut Victim, words: &str) -> Result<()> {
    let said = victim.aggregate().await;
    victim.is_well().await?;
    let said = said?;
    if said.contains(words) { Ok(()) } else { Err(format!("the task says {said:?}").into()) }
}

/// A directory that turns hostile after its accounts were read: the change must end.
pub(super) async fn turns() -> Result<()> {
    let directory = Hostile::start(Attack::Deep).await?;
    let mut victim = directory.victim().await?;
    let said = victim.aggregate().await?;
    if !said.is_empty() {
        return Err(format!("the accounts were not read: {said}").into());
    }
    directory.attacks.store(true, Ordering::Relaxed);
    let ended = victim.change().await;
    victim.is_well().await?;
    let ended = ended?;
    if ended.contains("FAILED") && (ended.contains("not LDAP") || ended.contains("be reached")) {
        return Ok(());
    }
    Err(format!("the change ended with {ended}").into())
}

/// A directory that puts the received password into its refusals: rekey must repeat nothing of it.
pub(super) async fn repeats() -> Result<()> {
    let directory = Hostile::start(Attack::Repeats).await?;
    let mut victim = directory.victim().await?;
    victim.aggregate().await?;
    directory.attacks.store(true, Ordering::Relaxed);
    let ended = victim.change().await?;
    victim.is_well().await?;
    let sent = directory.known.lock().await.clone();
    if !ended.contains("FAILED") || sent.len() < 8 {
        return Err(format!("no password was sent, or the change ended with {ended}").into());
    }
    for disguise in disguises(&sent) {
        victim.holds_nowhere(&half(&disguise))?;
        if ended.contains(&half(&disguise)) {
            return Err(format!("the status repeats the password: {ended}").into());
        }
    }
    Ok(())
}

/// A hostile directory on a free port.
pub(super) struct Hostile {
    port: u16,
    /// The directory behaves, with one account, until this is set.
    pub(super) attacks: Arc<AtomicBool>,
    /// The last password that the directory received.
    known: Arc<Mutex<String>>,
}

impl Hostile {
    pub(super) async fn start(attack: Attack) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let attacks = Arc::<AtomicBool>::default();
        let known = Arc::<Mutex<String>>::default();
        let (is_on, remembered) = (attacks.clone(), known.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The task ends when the victim closes the connection.
                tokio::spawn(serve(stream, attack, is_on.clone(), remembered.clone()));
            }
        });
        Ok(Self { port, attacks, known })
    }

    async fn victim(&self) -> Result<Victim> {
        Victim::start(&[("REKEY_LOG__FILTER", "warn")], "ldap", self.attributes()).await
    }

    /// The attributes of a source that connects to this directory.
    pub(super) fn attributes(&self) -> Value {
        json!({
            "host": "127.0.0.1", "port": self.port, "tls": "none", "allowInsecure": true,
            "bindDn": "cn=rekey", "bindPassword": "none", "baseDn": "dc=example",
            "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
        })
    }
}

async fn serve(
    mut stream: TcpStream,
    attack: Attack,
    is_on: Arc<AtomicBool>,
    known: Arc<Mutex<String>>,
) -> io::Result<()> {
    loop {
        let request = Request::read(&mut stream).await?;
        let id = request.id;
        let is_search = request.operation == SEARCH;
        // Before the list of accounts, rekey reads its own entry and the base.
        let is_list = is_search && request.is_subtree;
        if is_on.load(Ordering::Relaxed) {
            match attack {
                Attack::Accumulates if is_list => {
                    let first = NEXT.fetch_add(500, Ordering::Relaxed);
                    for number in first..first + 500 {
                        stream.write_all(&entry(id, &request.base, number, b"x")).await?;
                    }
                    return stream.write_all(&[0x30, 0x80]).await;
                }
                Attack::Announces if is_search => {
                    stream.write_all(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]).await?;
                    return flood(&mut stream, |_| vec![0; 1 << 16]).await;
                }
                Attack::Cookies if is_list => {
                    let cookie = element(4, &random_cookie());
                    let value = element(0x30, &[element(2, &[0]), cookie].concat());
                    stream.write_all(&done(id, SEARCH_DONE, Some(&value))).await?;
                    continue;
                }
                Attack::Deep if is_search => {
                    return flood(&mut stream, |_| deep_answer(id)).await;
                }
                Attack::Drips if is_search => {
                    for byte in entry(id, &request.base, 0, b"x") {
                        stream.write_all(&[byte]).await?;
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                Attack::Entries if is_list => {
                    return flood(&mut stream, |n| entry(id, &request.base, n, &[b'x'; 1024]))
                        .await;
                }
                Attack::FatEntry if is_list => {
                    stream.write_all(&entry(id, &request.base, 0, &vec![b'x'; 100_000])).await?;
                }
                Attack::Garbage if is_search => {
                    return flood(&mut stream, |_| vec![0xa5; 64]).await;
                }
                Attack::LargeEntry if is_list => {
                    stream.write_all(&entry(id, &request.base, 0, &vec![b'x'; 8 << 20])).await?;
                }
                Attack::Repeats => {
                    let mut known = known.lock().await;
                    if let Some(sent) = request.password {
                        // Result code 51 (busy) makes rekey observe the account again and repeat
                        // the write.
                        *known = sent;
                        stream.write_all(&refusal(id, 0x78, 51, &disguised(&known))).await?;
                        continue;
                    }
                    if !known.is_empty() && request.base.starts_with("uid=") {
                        stream.write_all(&refusal(id, SEARCH_DONE, 53, &disguised(&known))).await?;
                        continue;
                    }
                }
                Attack::Trickles if is_list => {
                    for number in 1.. {
                        stream.write_all(&entry(id, &request.base, number, b"x")).await?;
                        sleep(Duration::from_secs(8)).await;
                    }
                }
                Attack::WrongId if is_search => {
                    stream.write_all(&done(id + 1, SEARCH_DONE, None)).await?;
                    continue;
                }
                Attack::Accumulates
                | Attack::Announces
                | Attack::Cookies
                | Attack::Deep
                | Attack::Drips
                | Attack::Entries
                | Attack::FatEntry
                | Attack::Garbage
                | Attack::LargeEntry
                | Attack::Trickles
                | Attack::WrongId => {}
            }
        }
        let mut answer = Vec::new();
        if is_list {
            answer = entry(id, &request.base, 0, b"x");
        } else if is_search && request.base.starts_with("uid=") {
            answer = entry(id, "dc=example", 0, b"x");
        }
        answer.extend(done(id, request.operation + 1 + u8::from(is_search), None));
        stream.write_all(&answer).await?;
    }
}

/// The number of the next account for lists that differ each time.
static NEXT: AtomicU64 = AtomicU64::new(1);

const SEARCH: u8 = 0x63;
const SEARCH_DONE: u8 = 0x65;

/// A client's request.
struct Request {
    id: u8,
    operation: u8,
    /// The first text of the operation: the base of a search.
    base: String,
    is_subtree: bool,
    /// The new password in a Password Modify request.
    password: Option<String>,
}

impl Request {
    async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        stream.read_u8().await?;
        let mut length = usize::from(stream.read_u8().await?);
        if length > 0x80 {
            let octets = length & 0x7f;
            length = 0;
            for _ in 0..octets {
                length = length << 8 | usize::from(stream.read_u8().await?);
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        // A message id fits one byte: ids start anew on each connection.
        let [_, _, id, operation, rest @ ..] = message.as_slice() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // The length in the operation's header takes one to three bytes.
        let content = match rest {
            [0x81, _, content @ ..] | [0x82, _, _, content @ ..] | [_, content @ ..] => content,
            [] => &[],
        };
        let (mut base, mut is_subtree) = (String::new(), false);
        if let [4, length, content @ ..] = content {
            let (text, rest) = content.split_at(usize::from(*length).min(content.len()));
            base = String::from_utf8_lossy(text).into_owned();
            is_subtree = rest.starts_with(&[0x0a, 1, 2]);
        }
        let password = new_password(content);
        Ok(Self { id: *id, operation: *operation, base, is_subtree, password })
    }
}

/// Finds the new password in a Password Modify operation (RFC 3062): it follows the account's name.
fn new_password(operation: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"dc=example\x82";
    let at = operation.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
    let [length, rest @ ..] = operation.get(at..)? else { return None };
    let password = rest.get(..usize::from(*length))?;
    String::from_utf8(password.to_vec()).ok()
}

/// The disguises in which a directory may put a password into a text.
fn disguises(password: &str) -> Vec<String> {
    let each = |write: fn(char) -> String| password.chars().map(write).collect::<String>();
    let turned = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from_u32(u32::from(c) + 13).unwrap_or(c),
        'n'..='z' | 'N'..='Z' => char::from_u32(u32::from(c) - 13).unwrap_or(c),
        other => other,
    };
    vec![
        password.chars().take(password.chars().count() - 2).collect(),
        password.chars().rev().collect(),
        password.chars().map(turned).collect(),
        each(|c| format!("{c} ")).trim().to_owned(),
        each(|c| format!("%{:02x}", u32::from(c))),
        each(|c| format!("&#{};", u32::from(c))),
    ]
}

/// A text with the first half of each disguise, short enough for rekey's limit of 300 characters.
fn disguised(password: &str) -> String {
    let halves = disguises(password).into_iter().map(|text| half(&text));
    halves.collect::<Vec<_>>().join(" , ")
}

fn half(text: &str) -> String {
    text.chars().take(text.chars().count().div_ceil(2)).collect()
}

/// The result of a failed operation.
fn refusal(id: u8, tag: u8, code: u8, text: &str) -> Vec<u8> {
    let result = [&[0x0a, 1, code, 4, 0][..], &element(4, text.as_bytes())].concat();
    message(id, &element(tag, &result), &[])
}

/// Sends the messages that `make` returns until the client closes the connection.
async fn flood(stream: &mut TcpStream, make: impl Fn(u64) -> Vec<u8>) -> io::Result<()> {
    for number in 0.. {
        stream.write_all(&make(number)).await?;
    }
    Ok(())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

fn message(id: u8, operation: &[u8], controls: &[u8]) -> Vec<u8> {
    element(0x30, &[&[2, 1, id], operation, controls].concat())
}

/// The result of a successful operation; `page` is the value of the paged results control.
fn done(id: u8, tag: u8, page: Option<&[u8]>) -> Vec<u8> {
    let controls = page.map(|value| {
        let control = [element(4, b"1.2.840.113556.1.4.319"), element(4, value)].concat();
        element(0xa0, &element(0x30, &control))
    });
    message(id, &element(tag, &[0x0a, 1, 0, 4, 0, 4, 0]), &controls.unwrap_or_default())
}

/// An account below `base`: the person's for number 0, otherwise one of many others.
fn entry(id: u8, base: &str, number: u64, cn: &[u8]) -> Vec<u8> {
    let uid = if number == 0 { PERSON.to_owned() } else { format!("u{number}") };
    let attribute = |name: &str, value: &[u8]| {
        let values = element(0x31, &element(4, value));
        element(0x30, &[element(4, name.as_bytes()), values].concat())
    };
    let attributes = [
        attribute("uid", uid.as_bytes()),
        attribute("cn", cn),
        attribute("entryUUID", format!("00000000-0000-0000-0000-{number:012}").as_bytes()),
        attribute("entryCSN", b"1"),
    ]
    .concat();
    let dn = element(4, format!("uid={uid},{base}").as_bytes());
    message(id, &element(0x64, &[dn, element(0x30, &attributes)].concat()), &[])
}

/// An entry whose attributes are deeply nested sequences.
fn deep_answer(id: u8) -> Vec<u8> {
    let mut nested = Vec::new();
    for _ in 0..10_000_u32 {
        // Built backwards, since adding 10,000 prefixes would move the bytes each time.
        let length = u32::try_from(nested.len()).unwrap_or(u32::MAX);
        nested.extend(length.to_le_bytes());
        nested.extend([0x84, 0x30]);
    }
    nested.reverse();
    message(id, &element(0x64, &[element(4, b"dc=example"), nested].concat()), &[])
}

/// A random paging cookie, different each time.
fn random_cookie() -> Vec<u8> {
    rekey_vault::random::<8>().map_or_else(|_| vec![1], |bytes| bytes.to_vec())
}
