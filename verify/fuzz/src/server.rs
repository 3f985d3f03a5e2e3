//! Servers that send given answers.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use rekey_connectors::{Account, Change, Connector, Egress, kind};
use rekey_vault::Password;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    time::timeout,
};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// The time without data from the client after which the server sends its next piece.
const SILENCE: Duration = Duration::from_millis(2);
/// Longer than any operation of the connectors may take here, because the server closes its
/// connections.
const SOON: Duration = Duration::from_secs(5);

/// Runs every operation of the LDAP connector against a server with these answers.
pub fn ldap(answers: &[u8]) {
    let attributes = |port: u16| {
        json!({
            "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": true,
            "bindDn": "cn=rekey", "bindPassword": "x", "baseDn": "dc=example"
        })
    };
    try_all("ldap", attributes, "uid=a,dc=example", answers);
}

/// Runs every operation of the PostgreSQL connector against a server with these answers.
pub fn postgresql(answers: &[u8]) {
    let attributes = |port: u16| {
        json!({
            "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": true,
            "user": "rekey", "password": "x"
        })
    };
    try_all("postgresql", attributes, "a", answers);
}

fn try_all(name: &str, attributes: impl Fn(u16) -> Value, account: &str, answers: &[u8]) {
    RUNTIME.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(answer(listener, answers.to_vec()));
        let kind = kind(name).expect("the kind");
        let connector: Arc<dyn Connector> = kind
            .open(attributes(port), &Egress::default())
            .unwrap_or_else(|fault| panic!("{}", fault.message));
        let begun = Instant::now();
        let password = Password::new("not of this world".to_owned());
        let known = Account { native_identity: account, stable_id: None, correlated_by: None };
        let change = Change { account: known, password: &password, salt: [7; 16] };
        let observed = timeout(SOON, connector.observe(&known)).await.expect("no answer in time");
        let stamp = observed.map(|observed| observed.stamp).unwrap_or_default();
        let by = Instant::now() + SOON;
        let outcome = timeout(SOON, connector.apply(&change, &stamp, by)).await;
        let said = format!("{:?}", outcome.expect("no outcome in time"));
        assert!(!said.contains("not of this world"), "{said}");
        let _ = timeout(SOON, connector.verify(&change)).await.expect("no verdict in time");
        let (to, mut from) = tokio::sync::mpsc::channel(8);
        let list = async { while from.recv().await.is_some() {} };
        let (_, ()) = timeout(SOON, async { tokio::join!(connector.accounts(to), list) })
            .await
            .expect("no end of the list in time");
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
        server.abort();
    });
}

/// Serves every connection alike: sends the next piece of the answers after each message, or after
/// a silence, and closes the connection when there are no more pieces.
async fn answer(listener: TcpListener, answers: Vec<u8>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(one(stream, answers.clone()));
    }
}

async fn one(mut stream: TcpStream, answers: Vec<u8>) {
    let _ = stream.set_nodelay(true);
    let mut said = [0; 4096];
    for piece in answers.split(|byte| *byte == 0xff) {
        if let Ok(Ok(0) | Err(_)) = timeout(SILENCE, stream.read(&mut said)).await {
            return;
        }
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}
