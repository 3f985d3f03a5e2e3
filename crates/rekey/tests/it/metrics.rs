//! Metrics follow every action, and contain no names and no secrets.

use std::io::{Read, Write};

use hyper::StatusCode;
use tokio::net::TcpListener;

use serde_json::json;

use crate::{
    people::FORM,
    quiet::{Quiet, quiet_on_both_stores},
    site::{Site, change_body, encrypt, on_both_stores},
};

on_both_stores!(metrics_move_with_what_is_done_and_name_nobody);
quiet_on_both_stores!(a_change_is_counted_once_and_as_what_became_of_it);

/// Requests the metrics as Prometheus does.
async fn scrape(site: &Site) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let serving = tokio::spawn(rekey::http::serve::metrics(site.app.clone(), listener, stopped));
    let text = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let ask = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
    .await
    .unwrap();
    stop.send_replace(true);
    serving.await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("# EOF\n"), "{text}");
    text
}

/// The sum over all lines of this metric whose labels contain all of these texts.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
            && labels.iter().all(|label| line.contains(label))
    };
    text.lines()
        .filter(of_name)
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

async fn metrics_move_with_what_is_done_and_name_nobody(site: Site) {
    let canary = format!("canary-{}", uuid::Uuid::new_v4().simple());
    site.with_people(&[&canary]).await;
    let client = site.api_client().await;
    let token = site.token_of(&client).await;
    let before = scrape(&site).await;

    let clear = format!("{canary} 7");
    let accepted = site.set_password(&token, &canary, "IdentityNow", &clear).await;
    assert_eq!(site.ended(&token, &accepted).await["state"], "FINISHED");
    let refused = site.set_password(&token, &canary, "IdentityNow", "\u{7}").await;
    assert_eq!(site.ended(&token, &refused).await["state"], "FAILED");
    let path = format!("/v3/{canary}");
    site.get(&path).token(&token).send().await.assert(StatusCode::NOT_FOUND);
    let path = format!("/v3/accounts/{canary}");
    site.get(&path).token(&token).send().await.assert(StatusCode::NOT_FOUND);
    let form = format!("userName={canary}&password={canary}");
    site.post("/sign-in").text(FORM, form).send().await;
    let method = hyper::Method::from_bytes(b"CANARY").unwrap();
    site.ask(method, "/v3/accounts").token(&token).send().await;

    let after = scrape(&site).await;
    let kind = "source_kind=\"rekey\"";
    for (name, labels, by) in [
        ("rekey_changes_accepted_total", vec![], 2.0),
        ("rekey_accept_seconds_count", vec![], 2.0),
        ("rekey_changes_ended_total", vec![kind, "state=\"finished\""], 1.0),
        ("rekey_change_seconds_count", vec![], 2.0),
        ("rekey_private_operation_seconds_count", vec![], 2.0),
        ("rekey_target_seconds_count", vec![kind, "operation=\"write\""], 1.0),
        (
            "rekey_http_requests_total",
            vec!["method=\"POST\"", "route=\"/set-password\"", "status=\"202\""],
            2.0,
        ),
        ("rekey_http_requests_total", vec!["route=\"/accounts/{id}\"", "status=\"404\""], 1.0),
        ("rekey_http_requests_total", vec!["route=\"none\"", "status=\"404\""], 1.0),
        ("rekey_http_requests_total", vec!["method=\"other\""], 1.0),
    ] {
        let moved = value(&after, name, &labels) - value(&before, name, &labels);
        assert!((moved - by).abs() < 0.5, "{name} {labels:?} moved by {moved}:\n{after}");
    }
    for name in ["rekey_attempts_total", "rekey_commit_deeds_sum", "rekey_commit_seconds_sum"] {
        assert!(value(&after, name, &[]) > value(&before, name, &[]), "{name}:\n{after}");
    }
    for (name, value_now) in [
        ("rekey_queue_depth", 0.0),
        ("rekey_queue_oldest_seconds", 0.0),
        ("rekey_requests_stuck", 0.0),
        ("rekey_breaker_open", 0.0),
    ] {
        assert!(after.contains(&format!("\n{name}")), "{name} is there:\n{after}");
        assert!((value(&after, name, &[]) - value_now).abs() < 0.5, "{name}:\n{after}");
    }
    for name in ["process_resident_memory_bytes", "process_open_fds", "rekey_build_info"] {
        assert!(value(&after, name, &[]) > 0.0, "{name}:\n{after}");
    }

    let person = accepted.body["requestId"].as_str().unwrap();
    for secret in ["canary", "CANARY", &token, &client.secret, client.id.as_str(), person] {
        assert!(!after.contains(secret), "{secret}:\n{after}");
    }
    let source = rekey::source::ensure_identity_now(&site.app).await.unwrap();
    assert!(after.contains(source.id.as_str()), "an id that is a label is found");
}

/// Asserts that the counters of accepted, resent and ended changes and the queue depth have these
/// values.
fn assert_adds_up(text: &str, accepted: f64, resent: f64, ended: [f64; 3], waiting: f64) {
    let [finished, failed, superseded] = ["finished", "failed", "superseded"]
        .map(|state| value(text, "rekey_changes_ended_total", &[&format!("state=\"{state}\"")]));
    let found = [
        value(text, "rekey_changes_accepted_total", &[]),
        value(text, "rekey_changes_resent_total", &[]),
        finished,
        failed,
        superseded,
        value(text, "rekey_queue_depth", &[]),
    ];
    let difference = |(found, wanted): (f64, f64)| (found - wanted).abs() > 0.5;
    let wanted = [accepted, resent, ended[0], ended[1], ended[2], waiting];
    assert!(!found.into_iter().zip(wanted).any(difference), "{found:?}, not {wanted:?}:\n{text}");
    assert!(!difference((accepted, ended.iter().sum::<f64>() + waiting)));
}

async fn a_change_is_counted_once_and_as_what_became_of_it(quiet: Quiet) {
    let nowhere = json!({
        "host": "127.0.0.1", "port": 1, "tls": "none", "allowInsecure": true,
        "bindDn": "cn=nobody", "bindPassword": "none", "baseDn": "dc=none",
    });
    let down = quiet.source("Directory", "ldap", nowhere).await;
    let abby = quiet.person("abby", &[&quiet.login]).await;
    quiet.account(&abby, &down, "uid=abby,dc=none").await;
    let site = quiet.door().await;
    let token = site.token_of(&site.api_client().await).await;
    let ask = json!({"userName": "abby", "sourceName": "IdentityNow"});
    let info = site.post("/v3/query-password-info").token(&token).json(ask).send().await;
    let body = change_body(&info.body, &encrypt(&info.body, b"the first one"));
    for _ in 0..3 {
        let again = site.post("/v3/set-password").token(&token).json(body.clone()).send().await;
        again.assert(StatusCode::ACCEPTED);
    }
    assert_adds_up(&scrape(&site).await, 1.0, 2.0, [0.0, 0.0, 0.0], 1.0);

    // The older change is superseded before it is claimed.
    let newer = site.set_password(&token, "abby", "IdentityNow", "the second one").await;
    newer.assert(StatusCode::ACCEPTED);
    let text = scrape(&site).await;
    assert_adds_up(&text, 2.0, 2.0, [0.0, 0.0, 1.0], 1.0);
    let labels = ["state=\"superseded\"", "source_kind=\"rekey\""];
    assert!(value(&text, "rekey_changes_ended_total", &labels) > 0.5, "{text}");

    // The older change is superseded while a worker executes it and cannot reach its source.
    site.set_password(&token, "abby", "Directory", "the third one").await;
    let claimed = quiet.claim(&quiet.app.node).await;
    assert_eq!(claimed.len(), 2);
    let last = site.set_password(&token, "abby", "Directory", "the fourth one").await;
    for change in claimed {
        quiet.carry_out(change).await;
    }
    let text = scrape(&site).await;
    assert_adds_up(&text, 4.0, 2.0, [1.0, 0.0, 2.0], 1.0);
    let labels = ["state=\"superseded\"", "source_kind=\"ldap\""];
    assert!(value(&text, "rekey_changes_ended_total", &labels) > 0.5, "{text}");

    let refused = site.set_password(&token, "abby", "IdentityNow", "\u{7}").await;
    refused.assert(StatusCode::ACCEPTED);
    assert_eq!(quiet.work().await, 2);
    last.assert(StatusCode::ACCEPTED);
    assert_adds_up(&scrape(&site).await, 5.0, 2.0, [1.0, 1.0, 2.0], 1.0);
}
