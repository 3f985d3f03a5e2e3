//! The client that a request is attributed to, and ambiguous requests.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::StatusCode;
use rekey::{config::Config, http::serve::Bounds};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    audit::exported,
    people::FORM,
    site::{Answer, Site, on_both_stores},
};

on_both_stores!(
    a_client_behind_a_trusted_proxy_counts_for_itself,
    the_audit_trail_names_the_client_behind_a_trusted_proxy,
    a_request_with_two_of_what_must_be_one_is_refused,
    an_answer_to_a_body_that_nobody_read_is_the_last,
    each_head_has_its_own_time_whatever_was_sent_before,
);

/// The same rekey on a second port that trusts proxies in these networks.
async fn trusting(site: &Site, networks: &[&str]) -> Site {
    let mut config = Config::default();
    config.server.trusted_proxies =
        networks.iter().map(|network| network.parse().unwrap()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let router = rekey::http::api::router(site.app.clone());
    tokio::spawn(rekey::http::serve::answer(router, listener, Bounds::of(&config), stopped));
    Site::behind(base, site.app.clone(), site.store_url.clone(), site.folder.clone(), stop)
}

/// Sends a wrong secret, with `client` as the address that a proxy reports.
async fn guess(site: &Site, client: String) -> Answer {
    let form = "grant_type=client_credentials&client_id=none&client_secret=x";
    let ask = site.post("/oauth/token").header("x-forwarded-for", &client);
    ask.header("user-agent", &client).text(FORM, form).send().await
}

async fn a_client_behind_a_trusted_proxy_counts_for_itself(site: Site) {
    let is_refused = |answer: &Answer| answer.status == StatusCode::TOO_MANY_REQUESTS;
    let proxied = trusting(&site, &["127.0.0.0/8"]).await;
    // One client guesses 200 times, and 40 others once each.
    let guesses = (0..240).map(|n| if n < 200 { 100 } else { n - 140 });
    let guesses = guesses.map(|network| guess(&proxied, format!("198.51.{network}.7")));
    let answers = join_all(guesses).await;
    let (one, others) = answers.split_at(200);
    assert!(one.iter().any(is_refused), "200 at once are too many");
    assert!(!others.iter().any(is_refused), "only their own guesses count");
    // All requests of an untrusted peer count for one client, whatever headers it sends.
    for networks in [&[] as &[_], &["192.0.2.0/24"]] {
        let site = trusting(&site, networks).await;
        let answers = (0..200).map(|n| guess(&site, format!("198.51.{n}.7")));
        assert!(join_all(answers).await.iter().any(is_refused));
    }
}

async fn the_audit_trail_names_the_client_behind_a_trusted_proxy(site: Site) {
    for (networks, client, ip) in [
        (&["127.0.0.1/32"] as &[_], "203.0.113.9, 192.0.2.44", "192.0.2.44"),
        (&["127.0.0.1/32", "192.0.2.0/24"], "203.0.113.9, 192.0.2.45", "203.0.113.9"),
        (&[], "203.0.113.9, 192.0.2.46", "127.0.0.1"),
    ] {
        guess(&trusting(&site, networks).await, client.into())
            .await
            .assert(StatusCode::UNAUTHORIZED);
        let rows = exported(&site).await;
        let row = rows.iter().find(|row| row["origin"]["userAgent"] == client).unwrap();
        assert_eq!(row["origin"]["ip"], ip, "{row}");
    }
}

async fn a_request_with_two_of_what_must_be_one_is_refused(site: Site) {
    let token = site.token_of(&site.api_client().await).await;
    let twice = site.get("/v3/sources").token(&token).token(&token).send().await;
    twice.assert(StatusCode::BAD_REQUEST);
    let (code, text) = twice.error();
    assert_eq!(code, "400.0 Bad request syntax");
    assert!(text.contains("at most one Authorization"), "{text}");
    let basic = site.post("/oauth/token").header("authorization", "Basic YTpi").token(&token);
    basic.send().await.assert(StatusCode::BAD_REQUEST);

    for (headers, body) in [
        ("Host: a\r\nHost: b\r\n", ""),
        ("Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{} "),
        ("Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\n", "{}"),
    ] {
        let mut stream = TcpStream::connect(site.address()).await.unwrap();
        let request = format!(
            "POST /v3/query-password-info HTTP/1.1\r\n{headers}Authorization: Bearer {token}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Reads until the server closes the connection, which it must after such a request.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers}: {answer}");
    }
}

/// Otherwise pipelined requests with such bodies would pile up answers in memory.
async fn an_answer_to_a_body_that_nobody_read_is_the_last(site: Site) {
    for (request, answers) in [
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 1),
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 50),
    ] {
        let mut stream = TcpStream::connect(site.address()).await.unwrap();
        let end = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let pipelined = request.repeat(50 - usize::from(answers == 50)) + end;
        stream.write_all(pipelined.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The connection may be reset, because requests after the last answer are not read.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), answers, "{answer}");
    }
}

/// A head must be complete 5 s after its first byte; a connection may be idle for 75 s.
async fn each_head_has_its_own_time_whatever_was_sent_before(site: Site) {
    let half = "GET /healthz HTTP/1.1\r\nHost:";
    let requests = [
        ("Content-Length: 3", "a=b"),
        ("Content-Length: 3\r\nContent-Length: 3", "a=b"),
        ("Content-Length: 3\r\nUpgrade: h2c", "a=b"),
        ("Transfer-Encoding: chunked", "1\r\na\r\n2;x\r\n=b\r\n0\r\nX: y\r\n\r\n"),
    ];
    join_all(requests.map(async |(headers, body)| {
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n{headers}\r\n\r\n{body}"
        );
        for is_pipelined in [true, false] {
            let mut stream = TcpStream::connect(site.address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            if is_pipelined {
                stream.write_all(half.as_bytes()).await.unwrap();
            }
            let mut answer = Vec::new();
            while !answer.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{headers}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 400 "), "{headers}");
            if !is_pipelined {
                stream.write_all(half.as_bytes()).await.unwrap();
            }
            let began = Instant::now();
            let end = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
            assert!(end.is_ok(), "{headers}: half a head is still waited for");
            // The connection was kept open first, and not closed immediately.
            assert!(began.elapsed() > Duration::from_secs(3), "{headers}");
        }
    }))
    .await;
}
