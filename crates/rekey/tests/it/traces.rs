//! Exported traces: spans of requests and changes, without personal data.
//!
//! The collector is part of this test, which decodes the received bodies as OTLP.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use rekey_harness::{Connection, Info, request, text};
use serde_json::Value;

use crate::cli::{Place, Server, token};

/// A person with a random name and password, which occur nowhere else.
struct Person {
    alias: String,
    password: String,
}

impl Person {
    fn new() -> Self {
        let random = uuid::Uuid::new_v4().simple();
        Self { alias: format!("alias-{random}"), password: format!("password-{random}") }
    }
}

/// Changes the person's password on the built-in source, with a collector at `endpoint`, and sends
/// requests whose secrets only a mistake would export. Returns the server's log, the texts that
/// must not be in the traces, and those that should be.
async fn change(endpoint: &str, person: &Person) -> (String, Vec<String>, Vec<String>) {
    let Person { alias, password } = person;
    let place = Place::new();
    let first = place.json(&["init", "--json"]);
    let file = format!("identities: [{{alias: {alias}, password: {password}-0}}]");
    fs::write(place.path("site.yaml"), file).unwrap();
    place.json(&["apply", "-f", "site.yaml", "--json"]);
    let mut command = place.command(&["serve"]);
    command.env("REKEY_TRACES__ENDPOINT", endpoint);
    let server = Server::start(command);

    let client = serde_json::json!({
        "clientId": first["apiClientId"],
        "clientSecret": first["apiClientSecret"],
    });
    let token = token(&server.base, &client)["access_token"].as_str().unwrap().to_owned();
    let address = server.base.strip_prefix("http://").unwrap();
    let headers = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nUser-Agent: {alias}\r\n"
    );
    let mut connection = Connection::open(address).await.unwrap();
    for (method, path, status) in [
        ("GET", format!("/v3/accounts/{alias}?{alias}={password}"), 404),
        ("GET", format!("/{alias}"), 404),
        (alias.as_str(), "/v3/accounts".into(), 405),
    ] {
        let asked = request(method, &path, &headers, "");
        assert_eq!(connection.ask(&asked).await.unwrap().status, status, "{path}");
    }
    let info = Info::ask(&mut connection, &headers, alias, "IdentityNow").await.unwrap();
    let body = info.change(password).unwrap();
    let patient = format!("{headers}Prefer: wait=30\r\n");
    let asked = request("POST", "/v3/set-password", &patient, &body);
    let accepted = connection.ask(&asked).await.unwrap();
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let tracking_id = accepted.header("slpt-request-id").unwrap().to_owned();
    let accepted: Value = serde_json::from_str(&accepted.body).unwrap();
    let id = text(&accepted, "requestId");
    assert_eq!(text(&accepted, "state"), "FINISHED");
    drop(connection);

    let body: Value = serde_json::from_str(&body).unwrap();
    let mut secrets = vec![alias.clone(), password.clone(), token];
    secrets.extend(["accountId", "encryptedPassword", "identityId"].map(|name| text(&body, name)));
    secrets.push(text(&first, "apiClientSecret"));
    assert!(secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
    (server.stop(), secrets, vec![tracking_id, id])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_a_collector_and_no_secret_does() {
    let (endpoint, bodies) = collector();
    let (log, secrets, known) = change(&endpoint, &Person::new()).await;
    let told: Vec<u8> = bodies.try_iter().flatten().collect();
    let holds = |text: &str| told.windows(text.len()).any(|part| part == text.as_bytes());

    // ExportTraceServiceRequest.resource_spans.resource.attributes, then .scope_spans.spans.
    assert!(inside(&told, &[1, 1, 1, 2, 1]).contains(&b"rekey".as_slice()));
    let spans = inside(&told, &[1, 2, 2]);
    let named = |name: &str| {
        let found = spans.iter().find(|span| inside(span, &[5]) == [name.as_bytes()]);
        *found.unwrap_or_else(|| panic!("{name} among {:?}", inside(&told, &[1, 2, 2, 5])))
    };
    let id = |span: &[u8]| inside(span, &[2])[0].to_vec();
    let parent = |span: &[u8]| inside(span, &[4]).first().map(|id| id.to_vec());
    let attributes = |span: &[u8]| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let texts = inside(span, &[9]).into_iter().map(|attribute| {
            let value =
                inside(attribute, &[2, 1]).first().map_or(String::new(), |value| text(value));
            (text(inside(attribute, &[1])[0]), value)
        });
        texts.collect()
    };
    let holds_all = |span: &[u8], wanted: &[(&str, &str)]| {
        let found = attributes(span);
        for (key, value) in wanted {
            let pair = ((*key).to_owned(), (*value).to_owned());
            assert!(found.contains(&pair), "{pair:?} among {found:?}");
        }
    };
    let request = named("POST /set-password");
    let (tracking_id, request_id) = (known[0].as_str(), known[1].as_str());
    holds_all(request, &[("tracking_id", tracking_id), ("request_id", request_id)]);
    holds_all(request, &[("http.route", "/set-password"), ("http.response.status_code", "")]);
    assert_eq!(parent(named("accept")), Some(id(request)));
    let change = named("change");
    holds_all(change, &[("request_id", request_id), ("state", "finished")]);
    for name in ["decrypt", "look", "write", "verify"] {
        assert_eq!(parent(named(name)), Some(id(change)), "{name}");
    }
    holds_all(named("write"), &[("source_kind", "rekey")]);
    for name in ["claim", "GET /accounts/{id}", "GET none", "other /accounts"] {
        named(name);
    }

    assert!(known.iter().all(|text| holds(text)), "what was told is found");
    for secret in secrets {
        assert!(!holds(&secret), "{secret} was told");
    }
    assert!(!log.contains("the collector"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_costs_one_line_of_the_log() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (log, ..) = change(&format!("http://{gone}/v1/traces"), &Person::new()).await;
    assert_eq!(log.matches("the collector of traces.endpoint takes none").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_keeps_nothing_waiting() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", deaf.local_addr().unwrap());
    change(&endpoint, &Person::new()).await;
}

/// Starts a collector that accepts everything; returns its URL and the received bodies.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (got, bodies) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(length) = head(&mut stream) {
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let _ = got.send(body);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.get_mut().write_all(answer).unwrap();
            }
        }
    });
    (format!("http://{address}/v1/traces"), bodies)
}

/// Reads the head of a request; returns the length of the body, or `None` at the end of the
/// connection.
fn head(stream: &mut impl BufRead) -> Option<usize> {
    let mut length = None;
    for line in stream.lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            return length;
        }
        length = line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().ok());
    }
    None
}

/// Every field at the end of a path of field numbers through a protobuf message.
fn inside<'a>(message: &'a [u8], way: &[u64]) -> Vec<&'a [u8]> {
    let Some((first, rest)) = way.split_first() else { return vec![message] };
    let of_number = fields(message).into_iter().filter(|(number, _)| number == first);
    of_number.flat_map(|(_, field)| inside(field, rest)).collect()
}

/// The length-delimited and fixed-size fields of a protobuf message, each with its number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                varint(&mut bytes);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (field, rest) = bytes.split_at(length);
        if key & 7 == 2 {
            found.push((key >> 3, field));
        }
        bytes = rest;
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
