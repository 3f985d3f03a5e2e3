//! Erasure: personal data in the audit trail can be erased without breaking the trail's
//! verification, and cannot be altered.

use std::net::Ipv4Addr;
use std::time::Duration;

use rekey::{
    Error,
    audit::{attempts_written, chain::Chainer},
    model::audit::Origin,
    store::{Audit, Tx},
};
use serde_json::{Value, json};

use crate::{
    audit::{Trail, beside, changed},
    site::{Site, on_both_stores, postgres_url},
};

on_both_stores!(
    an_address_stands_apart_and_can_be_erased,
    somebody_who_goes_on_has_one_address_an_hour,
    what_was_undone_is_referred_to_by_nobody,
);

/// The lines of an export, parsed.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn exported(site: &Site) -> Vec<Value> {
    attempts_written(&site.app.audit).await;
    Chainer::default().finish(&site.app.audit).await.unwrap();
    lines(&String::from_utf8(beside(site, &["audit", "export"]).stdout).unwrap())
}

async fn names_can_be_erased_but_not_altered(url: Option<String>) {
    let trail = Trail::new(url);
    let named = "detail LIKE '%\"admin\"%'";
    assert_eq!(trail.number(&format!("SELECT count(*) FROM audit WHERE {named}")).await, 0);
    let aliases =
        |text: &str| lines(text).iter().filter(|line| line["detail"]["alias"] == "admin").count();
    assert_eq!(aliases(&trail.run(&["audit", "export"])), 2, "made, and given a password");
    assert_eq!(trail.assert_sound(&[])["erased"], 0);

    trail.keep().await;
    let first = "commitment = (SELECT min(commitment) FROM audit_personal)";
    let last = "commitment = (SELECT max(commitment) FROM audit_personal)";
    for altered in [
        format!("UPDATE audit_personal SET content = '{{\"alias\":\"bob\"}}' WHERE {first}"),
        format!("UPDATE audit_personal SET content = '' WHERE {first}"),
        format!(
            "UPDATE audit_personal SET salt = (SELECT salt FROM audit_personal WHERE {last})
             WHERE {first}"
        ),
        format!(
            "UPDATE audit_personal SET content = (SELECT content || ' ' FROM audit_personal
             WHERE {last}), salt = (SELECT salt FROM audit_personal WHERE {last}) WHERE {first}"
        ),
    ] {
        trail.sql(&altered).await;
        let (code, found) = trail.verify(&[]);
        let what = found["findings"][0]["what"].as_str().unwrap();
        assert!(code == 1 && what.starts_with("edited: what the row says of a person"), "{found}");
        assert!(trail.run(&["audit", "export"]).contains("\"altered\""), "{altered}");
        trail.restore().await;
    }

    // A changed commitment in the row is an altered row.
    trail.sql("UPDATE audit SET detail = replace(detail, 'personal', 'impersonal')").await;
    assert_eq!(trail.verify(&[]).0, 1);
    trail.restore().await;

    let kept = trail.number("SELECT count(*) FROM audit_personal").await;
    trail.sql("DELETE FROM audit_personal").await;
    assert_eq!(trail.assert_sound(&[])["erased"], kept);
    let export = trail.run(&["audit", "export"]);
    assert!(
        !export.contains("\"admin\"") && export.contains("\"personal\":\"erased\""),
        "{export}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_can_be_erased_on_sqlite() {
    names_can_be_erased_but_not_altered(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_can_be_erased_on_postgres() {
    if let Some(url) = postgres_url().await {
        names_can_be_erased_but_not_altered(Some(url)).await;
    }
}

async fn an_address_stands_apart_and_can_be_erased(site: Site) {
    let id = changed(&site).await;
    let start = |lines: &[Value]| {
        let is_start = |line: &&Value| {
            line["action"] == "PasswordsRequestStart" && line["object"] == id.as_str()
        };
        lines.iter().find(is_start).unwrap().clone()
    };
    let before = start(&exported(&site).await);
    assert_eq!(before["origin"]["ip"], "127.0.0.1");
    let inline = "SELECT count(*) AS value FROM audit WHERE origin LIKE '%127.0.0.1%'";
    assert_eq!(site.write(move |tx| Ok(tx.count(inline)?)).await, 0);

    // The statement that erases everything about a client.
    let client = before["actor"].as_str().unwrap().to_owned();
    let of_client =
        format!("SELECT count(*) AS value FROM audit_personal WHERE subject = '{client}'");
    assert_eq!(site.write(move |tx| Ok(tx.count(&of_client)?)).await, 1);
    let erase = format!(
        "WITH gone AS (DELETE FROM audit_personal WHERE subject = '{client}' RETURNING 1 AS one)
         SELECT count(*) AS value FROM gone"
    );
    if site.app.store.is_postgres() {
        site.write(move |tx| Ok(tx.count(&erase)?)).await;
    } else {
        let file = rusqlite::Connection::open(&site.store_url).unwrap();
        file.execute("DELETE FROM audit_personal WHERE subject = ?1", [&client]).unwrap();
    }
    let after = start(&exported(&site).await);
    assert_eq!(after["origin"]["personal"], "erased");
    assert!(after["origin"]["ip"].is_null());
    assert_eq!(after["origin"]["trackingId"], before["origin"]["trackingId"]);
    let verified = beside(&site, &["audit", "verify", "--json"]);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["ok"], verified["erased"].as_u64() > Some(0)), (&true.into(), true));
}

async fn somebody_who_goes_on_has_one_address_an_hour(site: Site) {
    let addresses = async || {
        let sql = "SELECT count(*) AS value FROM audit_personal WHERE content LIKE '%127.0.0.1%'";
        site.write(move |tx| Ok(tx.count(sql)?)).await
    };
    site.with_people(&["abby"]).await;
    let client = site.api_client().await;
    let token = site.token_of(&client).await;
    for word in ["Correct horse 7", "Correct horse 8", "Correct horse 9"] {
        let accepted = site.set_password(&token, "abby", "IdentityNow", word).await;
        site.ended(&token, &accepted).await;
        assert_eq!(addresses().await, 1);
    }
    site.app.clock.turn(Duration::from_hours(1));
    let token = site.token_of(&client).await;
    let accepted = site.set_password(&token, "abby", "IdentityNow", "Correct horse 10").await;
    site.ended(&token, &accepted).await;
    assert_eq!(addresses().await, 2);
}

/// A transaction that is rolled back stores no address, so the next one must not refer to it.
async fn what_was_undone_is_referred_to_by_nobody(site: Site) {
    let record = |fails: bool| {
        site.app.store.write(move |tx: &mut Tx<'_>| {
            let detail = json!({ "fails": fails });
            tx.audit(Audit { actor: "abby", action: "TEST", object: "x", detail })?;
            if fails { Err(Error::Internal("undone".into())) } else { Ok(()) }
        })
    };
    let ip = Ipv4Addr::new(192, 0, 2, 7).into();
    Origin::of_request("t".into(), Some(ip), None)
        .scope(async {
            assert!(record(true).await.is_err());
            record(false).await.unwrap();
            record(false).await.unwrap();
        })
        .await;
    let of_test = exported(&site).await;
    let ips: Vec<_> = of_test
        .iter()
        .filter(|line| line["action"] == "TEST")
        .map(|line| &line["origin"]["ip"])
        .collect();
    assert_eq!(ips, ["192.0.2.7", "192.0.2.7"]);
}
