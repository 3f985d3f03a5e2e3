use serde_json::{Map, Value, json};

use super::{Attribute, Difference, Group, Reach, Shape, check, differences};

const DECLARED: &[Attribute] = &[
    Attribute::new("url", Shape::Text, Reach::Where, Group::Connection, "").required(),
    Attribute::new("ca", Shape::Certificates, Reach::Where, Group::Connection, ""),
    Attribute::new("program", Shape::Text, Reach::Runs, Group::Connection, ""),
    Attribute::new("most", Shape::Number(1, 64), Reach::Nothing, Group::Connection, ""),
    Attribute::new("tls", Shape::Choice(&["full", "none"]), Reach::Where, Group::Connection, ""),
    Attribute::new("loud", Shape::Boolean, Reach::Nothing, Group::Connection, ""),
    Attribute::new("fields", Shape::Texts, Reach::Who, Group::Accounts, ""),
    Attribute::new(
        "oauth",
        Shape::Object(&[
            Attribute::new("tokenUrl", Shape::Text, Reach::Where, Group::SignIn, "").required(),
            Attribute::new("scope", Shape::Text, Reach::Nothing, Group::SignIn, ""),
        ]),
        Reach::Where,
        Group::SignIn,
        "",
    ),
];

fn declared() -> Vec<&'static Attribute> {
    DECLARED.iter().collect()
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn what_is_declared_is_taken_and_nothing_else() {
    let with = |name: &str, value: Value| {
        let mut attributes = map(&json!({ "url": "u" }));
        attributes.insert(name.to_owned(), value);
        check(&declared(), &attributes, "connectorAttributes")
    };
    for (name, value) in [
        ("url", json!("x".repeat(4096))),
        ("ca", json!("x".repeat(65_536))),
        ("most", json!(64)),
        ("most", Value::Null),
        ("tls", json!("none")),
        ("loud", json!(true)),
        ("fields", json!(vec!["x"; 100])),
        ("oauth", json!({ "tokenUrl": "t" })),
    ] {
        assert_eq!(with(name, value), Ok(()), "{name}");
    }
    for (name, value, refusal) in [
        (
            "url",
            json!("s3cret".repeat(700)),
            "connectorAttributes.url: give a text of at most 4096 bytes",
        ),
        ("url", Value::Null, "connectorAttributes.url is missing"),
        (
            "ca",
            json!("x".repeat(65_537)),
            "connectorAttributes.ca: give PEM text of at most 65536 bytes",
        ),
        ("most", json!(0), "connectorAttributes.most: give a whole number from 1 to 64"),
        ("most", json!(1.5), "connectorAttributes.most: give a whole number from 1 to 64"),
        ("most", json!(-1), "connectorAttributes.most: give a whole number from 1 to 64"),
        ("tls", json!("s3cret"), "connectorAttributes.tls: give one of full, none"),
        ("loud", json!("true"), "connectorAttributes.loud: give true or false"),
        (
            "fields",
            json!(vec!["x"; 101]),
            "connectorAttributes.fields: give a list of at most 100 texts of at most 4096 bytes each",
        ),
        (
            "fields",
            json!(["x", 1]),
            "connectorAttributes.fields: give a list of at most 100 texts of at most 4096 bytes each",
        ),
        ("oauth", json!("s3cret"), "connectorAttributes.oauth: give an object"),
        ("oauth", json!({ "scope": "s" }), "connectorAttributes.oauth.tokenUrl is missing"),
        (
            "oauth",
            json!({ "tokenUrl": "t", "scoop": "s" }),
            "connectorAttributes.oauth.scoop: there is no such attribute: did you mean scope?",
        ),
        ("URL", json!("x"), "connectorAttributes.URL: there is no such attribute"),
        (
            "mots",
            json!(1),
            "connectorAttributes.mots: there is no such attribute: did you mean most?",
        ),
    ] {
        assert_eq!(with(name, value), Err(refusal.to_owned()), "{name}");
    }
}

#[test]
fn differences_are_found_one_by_one() {
    let old = json!({
        "url": "u", "ca": "c", "most": 1, "fields": ["a"], "oauth": { "tokenUrl": "t", "scope": "s" },
    });
    let found = |change: &Value| -> Vec<Difference> {
        let mut new = map(&old);
        for (name, value) in change.as_object().unwrap() {
            new.insert(name.clone(), value.clone());
        }
        let mut back = differences(&declared(), &new, &map(&old));
        let there = differences(&declared(), &map(&old), &new);
        back.sort_by(|a, b| a.path.cmp(&b.path));
        let mut sorted = there.clone();
        sorted.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(back, sorted, "a change and its way back differ");
        there
    };
    assert_eq!(found(&json!({ "tls": null })), []);
    for (change, path, reach, moves) in [
        (json!({ "url": "v" }), "url", Reach::Where, true),
        (json!({ "ca": "d" }), "ca", Reach::Where, false),
        (json!({ "ca": null }), "ca", Reach::Where, false),
        (json!({ "most": 2 }), "most", Reach::Nothing, false),
        (json!({ "program": "p" }), "program", Reach::Runs, false),
        (json!({ "fields": [] }), "fields", Reach::Who, false),
        (
            json!({ "oauth": { "tokenUrl": "x", "scope": "s" } }),
            "oauth.tokenUrl",
            Reach::Where,
            true,
        ),
        (json!({ "oauth": { "tokenUrl": "t" } }), "oauth.scope", Reach::Nothing, false),
        (
            json!({ "oauth": { "tokenUrl": "t", "scope": "s", "x": 1 } }),
            "oauth.x",
            Reach::Where,
            true,
        ),
        (json!({ "oauth": 1 }), "oauth", Reach::Where, true),
        (json!({ "undeclared": 1 }), "undeclared", Reach::Where, true),
    ] {
        assert_eq!(found(&change), [Difference { path: path.into(), reach, moves }], "{change}");
    }
    let gone = found(&json!({ "oauth": null }));
    assert_eq!(
        gone.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(),
        ["oauth.scope", "oauth.tokenUrl"]
    );
}
