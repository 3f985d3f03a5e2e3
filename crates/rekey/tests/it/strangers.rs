//! Sign-in attempts by strangers: they lock nobody out, and learn nothing.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use rekey_harness::{Connection, request};

use crate::{
    people::FORM,
    sign_in::{WORD, abby, form, sign_in},
    site::{Site, on_both_stores},
};

on_both_stores!(
    a_hundred_failures_leave_one_attempt_a_minute,
    failures_elsewhere_do_not_lock_out_the_owner,
    a_name_that_is_too_long_reads_like_a_wrong_password,
    a_password_in_the_address_is_refused,
);

async fn a_hundred_failures_leave_one_attempt_a_minute(site: Site) {
    abby(&site).await;
    for number in 0..100 {
        // The attempts alternate among networks, to stay below the rate limit of each.
        assert_eq!(sign_in_from(&site, number % 50, "abby", "wrong").await, 403, "{number}");
        site.app.clock.turn(Duration::from_secs(10));
    }
    assert_eq!(sign_in_from(&site, 60, "abby", WORD).await, 403, "it is not a minute yet");
    site.app.clock.turn(Duration::from_secs(50));
    assert_eq!(sign_in_from(&site, 60, "abby", WORD).await, 200);
}

async fn failures_elsewhere_do_not_lock_out_the_owner(site: Site) {
    abby(&site).await;
    let (home, elsewhere) = (1, 2);
    assert_eq!(sign_in_from(&site, home, "abby", WORD).await, 200);
    for _ in 0..3 {
        assert_eq!(sign_in_from(&site, elsewhere, "abby", "wrong").await, 403);
        assert_eq!(sign_in_from(&site, home, "abby", WORD).await, 200);
        assert_eq!(sign_in_from(&site, elsewhere, "abby", WORD).await, 403, "locked there");
        site.app.clock.turn(Duration::from_secs(1));
    }
    assert_eq!(sign_in_from(&site, home, "abby", "wrong").await, 403);
    assert_eq!(sign_in_from(&site, home, "abby", WORD).await, 403, "locked at home");
}

async fn a_name_that_is_too_long_reads_like_a_wrong_password(site: Site) {
    abby(&site).await;
    let long = "n".repeat(129);
    let known = sign_in(&site, &[], "abby", "wrong").await;
    let asked = Instant::now();
    let refused = sign_in(&site, &[], &long, "wrong").await;
    assert!(asked.elapsed() >= Duration::from_millis(50));
    assert_eq!((refused.status, refused.text.replace(&long, "abby")), (known.status, known.text));
}

async fn a_password_in_the_address_is_refused(site: Site) {
    abby(&site).await;
    let word = WORD.replace(' ', "+");
    let body = format!("userName=abby&password={word}");
    let bad = site.post(&format!("/sign-in?password={word}")).text(FORM, "userName=abby");
    let both = site.post(&format!("/sign-in?password={word}")).text(FORM, body.clone());
    let page = site.get(&format!("/sign-in?password={word}"));
    let authorize = site.get(&format!("/oauth/authorize?password={word}"));
    for answer in [bad, both, page, authorize] {
        let answer = answer.send().await;
        answer.assert(StatusCode::BAD_REQUEST);
        assert!(answer.text.contains("in the address") && !answer.text.contains(WORD));
    }
    let name = site.post("/sign-in?userName=abby").text(FORM, format!("password={word}"));
    name.send().await.assert(StatusCode::FORBIDDEN);
    site.post("/sign-in").text(FORM, body).send().await.assert(StatusCode::OK);
}

/// Sends the sign-in form from another network, without any request before; returns the status.
async fn sign_in_from(site: &Site, network: u8, who: &str, word: &str) -> u16 {
    let own = Ipv4Addr::new(127, 0, network, 1);
    let mut connection = Connection::open_from(site.address(), own).await.unwrap();
    let fields = form(&[("userName", who.to_owned()), ("password", word.to_owned())]);
    let kind = format!("Content-Type: {FORM}\r\n");
    connection.ask(&request("POST", "/sign-in", &kind, &fields)).await.unwrap().status
}
