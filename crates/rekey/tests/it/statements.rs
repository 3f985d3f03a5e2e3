//! The number of SQL statements must not reveal to unauthorized callers whether an object exists:
//! requests about existing and unknown objects take equally many.

use hyper::StatusCode;
use rekey::model::{id::sortable, level::Level};
use serde_json::{Value, json};

use crate::{
    quiet::{Quiet, quiet_on_both_stores},
    site::{Ask, Site, change_body, encrypt},
};

quiet_on_both_stores!(what_is_there_takes_as_many_statements_as_what_is_not);

/// The status and body of an answer, and the number of statements that it took.
async fn cost(site: &Site, ask: Ask<'_>) -> (StatusCode, String, u64) {
    let statements = &site.app.metrics().statements;
    let before = statements.get();
    let mut answer = ask.send().await;
    // The audit row about a refusal counts, too.
    rekey::audit::attempts_written(&site.app.audit).await;
    if let Value::Object(body) = &mut answer.body {
        body.remove("trackingId");
    }
    (answer.status, answer.body.to_string(), statements.get() - before)
}

async fn what_is_there_takes_as_many_statements_as_what_is_not(quiet: Quiet) {
    let other = quiet.source("Other", "rekey", json!({})).await;
    let site = quiet.door().await;
    let abby = site.person("abby", &[]).await;
    quiet.account(&abby.id, &quiet.login, "abby").await;
    let bob = quiet.person("bob", &[&quiet.login, &other]).await;
    let helper = site.person("helper", &[Level::Helpdesk]).await;
    let abby = site.token_of(&site.personal_access_token(&abby).await).await;
    let helper = site.token_of(&site.personal_access_token(&helper).await).await;
    let client = site.token_of(&site.api_client().await).await;

    let info = |token: &str, who: &str, source: &str| {
        let body = json!({"userName": who, "sourceName": source});
        site.post("/v3/query-password-info").token(token).json(body)
    };
    let status =
        |token: &str, id: &str| site.get(&format!("/v3/password-change-status/{id}")).token(token);
    let bobs_change = quiet.change(&bob, &quiet.login, "the first one").await.id;
    let no_change = sortable(quiet.app.clock.now());
    let own = info(&abby, "abby", "IdentityNow").send().await;
    let others = info(&client, "bob", "Other").send().await;
    let body = change_body(&own.body, &encrypt(&own.body, b"the second one"));
    let set = |changes: &[(&str, &Value)]| {
        let mut body = body.clone();
        for (name, value) in changes {
            body[*name] = (*value).clone();
        }
        site.post("/v3/set-password").token(&abby).json(body)
    };
    let nothing = json!("0123456789abcdef0123456789abcdef");

    for (what, there, not_there) in [
        ("a name", info(&abby, "bob", "IdentityNow"), info(&abby, "nobody", "IdentityNow")),
        ("a source", info(&abby, "abby", "Other"), info(&abby, "abby", "None")),
        ("a change", status(&abby, bobs_change.as_str()), status(&abby, &no_change)),
        (
            "a person",
            set(&[("identityId", &others.body["identityId"])]),
            set(&[("identityId", &nothing)]),
        ),
        (
            "the source of a change",
            set(&[("sourceId", &others.body["sourceId"])]),
            set(&[("sourceId", &nothing)]),
        ),
        (
            "an account",
            set(&[("accountId", &others.body["accounts"][0]["accountId"])]),
            set(&[("accountId", &nothing)]),
        ),
        (
            "a key",
            set(&[("publicKeyId", &others.body["publicKeyId"])]),
            set(&[("publicKeyId", &nothing)]),
        ),
    ] {
        let (there, not_there) = (cost(&site, there).await, cost(&site, not_there).await);
        println!("{what}: {} with {} statements", there.0, there.2);
        assert!(there.0.is_client_error() && there.2 > 0, "{what}: {there:?}");
        assert_eq!(there, not_there, "{what}");
    }

    // The control: for authorized callers, the counts do differ.
    for (there, not_there) in [
        (info(&helper, "bob", "IdentityNow"), info(&helper, "nobody", "IdentityNow")),
        (info(&client, "bob", "IdentityNow"), info(&client, "nobody", "IdentityNow")),
        (status(&helper, bobs_change.as_str()), status(&helper, &no_change)),
        (status(&client, bobs_change.as_str()), status(&client, &no_change)),
    ] {
        let (there, not_there) = (cost(&site, there).await, cost(&site, not_there).await);
        assert_eq!(there.0, StatusCode::OK, "{}", there.1);
        assert!(not_there.0.is_client_error() && there.2 != not_there.2, "{there:?} {not_there:?}");
    }
}
