use tokio::{net::TcpListener, task::JoinHandle};

use super::*;
use crate::ldap::{
    ber::{INTEGER, OCTETS, SEQUENCE, SET, Writer},
    message::WHO_AM_I,
};

const LONG: Duration = Duration::from_mins(1);

/// Returns a connection to a directory that answers the first request with an endless repetition of
/// `message`, and a task that returns the number of bytes it could send.
async fn flooded(message: Writer) -> (Connection, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let flooding = tokio::spawn(async move {
        server.read_buf(&mut Vec::new()).await.unwrap();
        let many = message.bytes().repeat(1 + 64 * 1024 / message.bytes().len());
        let mut sent = 0;
        while server.write_all(&many).await.is_ok() {
            sent += many.len();
        }
        sent
    });
    (Connection::new(stream), flooding)
}

fn message(operation: impl FnOnce(&mut Writer)) -> Writer {
    let mut message = Writer::default();
    message.constructed(SEQUENCE, |w| {
        w.number(INTEGER, 1);
        operation(w);
    });
    message
}

fn is_too_much(broken: &Broken) -> bool {
    broken.is_sent && broken.fault.message.contains("more than rekey takes")
}

#[tokio::test]
async fn messages_between_a_request_and_its_answer_are_bounded() {
    for size in [0, 100_000] {
        let remark = message(|w| w.primitive(INTERMEDIATE, &vec![0; size]));
        let (mut connection, flooding) = flooded(remark).await;
        let who = Request::extended(WHO_AM_I, None);
        let broken = connection.call(LONG, who, &[]).await.unwrap_err();
        assert!(is_too_much(&broken), "{}", broken.fault.message);
        drop(connection);
        flooding.await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_asked_for_is_bounded_in_all() {
    let entry = message(|w| {
        w.constructed(SEARCH_ENTRY, |w| {
            w.primitive(OCTETS, b"uid=a");
            w.constructed(SEQUENCE, |w| {
                w.constructed(SEQUENCE, |w| {
                    w.primitive(OCTETS, b"jpegPhoto");
                    w.constructed(SET, |w| w.primitive(OCTETS, &vec![0; 200_000]));
                });
            });
        });
    });
    let (mut connection, flooding) = flooded(entry).await;
    let search = Request::search("", Scope::Subtree, &Filter::any(), &["uid"]);
    connection.search(LONG, search, &[]).await.unwrap();
    let mut entries = 0;
    let broken = loop {
        match connection.found(LONG, &["uid"]).await {
            Ok(_) => entries += 1,
            Err(broken) => break broken,
        }
        assert!(entries < 500, "a whole page");
    };
    assert!(is_too_much(&broken), "{}", broken.fault.message);
    assert!(entries * 200_000 < PAGE && (entries + 2) * 200_000 > PAGE, "{entries}");
    drop(connection);
    flooding.await.unwrap();
}
