//! The request for a cell of the table.

use serde_json::{Value, json};

use super::{
    table::Block,
    world::{Actor, Objects, World},
};
use crate::site::Ask;

impl World {
    /// The text by which a list shows that it contains a person's row.
    pub(super) fn row(&self, block: &Block, whose: &Objects) -> String {
        match block.route.as_str() {
            "GET /accounts" => whose.account.to_string(),
            "GET /identities" | "GET /public-identities" => whose.identity.to_string(),
            "GET /password-policies" => self.policy.to_string(),
            "GET /password-sync-groups" => self.group.to_string(),
            "GET /sources" => whose.source.to_string(),
            "GET /task-status" => whose.task.to_string(),
            route => panic!("{route} is no list: say in `row` what shows a row of it"),
        }
    }

    /// The request; successive turns use different styles of the path.
    pub(super) fn ask(
        &self,
        actor: &Actor,
        token: &str,
        block: &Block,
        about: &str,
        turn: usize,
    ) -> Ask<'_> {
        let (method, path) = block.route.split_once(' ').unwrap();
        let whose = if about.starts_with("own") { &actor.own } else { &self.other };
        let id = match path {
            _ if about == "unknown" => "0".repeat(32),
            "/accounts/{id}" => whose.account.to_string(),
            "/identities/{id}" => whose.identity.to_string(),
            "/password-change-status/{id}" => whose.change.clone(),
            "/password-policies/{id}" => self.policy.to_string(),
            "/password-sync-groups/{id}" => self.group.to_string(),
            "/account-aggregations/{id}/status" | "/task-status/{id}" => whose.task.to_string(),
            _ if about == "own, moved" => whose.member.to_string(),
            _ => whose.source.to_string(),
        };
        let mut path = in_style(&path.replace("{id}", &id), turn);
        if block.route == "GET /accounts" {
            // Every person has an account on each built-in source, which is more than one page
            // holds.
            path.push_str("?filters=nativeIdentity+eq+%22someone%22");
        }
        let ask = self.site.ask(method.parse().unwrap(), &path).token(token);
        let body = self.body(actor, &block.route, about, turn);
        if body.is_null() { ask } else { ask.json(body) }
    }

    fn body(&self, actor: &Actor, route: &str, about: &str, turn: usize) -> Value {
        let (own, other, nobody) = (&actor.own, &self.other, "0".repeat(32));
        match (route, about) {
            ("PATCH /accounts/{id}", _) => {
                json!([{ "op": "replace", "path": "/manuallyCorrelated", "value": false }])
            }
            ("PATCH /sources/{id}", "own, moved") => json!([
                { "op": "replace", "path": "/connectorAttributes/host", "value": format!("b{turn}.example.com") },
                { "op": "add", "path": "/connectorAttributes/bindPassword", "value": "s3cret" },
            ]),
            ("PATCH /sources/{id}", _) => {
                json!([{ "op": "add", "path": "/description", "value": format!("{turn}") }])
            }
            ("POST /query-password-info", _) => {
                let user = match about {
                    "other" => &other.alias,
                    "unknown" => &nobody,
                    _ => &own.alias,
                };
                let source = match about {
                    "own, other source" => "rekey of other",
                    "own, unknown source" => &nobody,
                    _ => "IdentityNow",
                };
                json!({ "userName": user, "sourceName": source })
            }
            ("POST /set-password", _) => {
                let mut body = match about {
                    "other" => self.change(&other.identity, &other.alias),
                    "unknown" => {
                        self.change(&rekey::model::id::IdentityId(nobody.clone()), &nobody)
                    }
                    _ => self.change(&own.identity, &own.alias),
                };
                match about {
                    "own, other account" => body["accountId"] = json!(other.alias),
                    "own, unknown account" => body["accountId"] = json!(nobody),
                    "own, other source" => body["sourceId"] = self.other_key["sourceId"].clone(),
                    "own, unknown source" => body["sourceId"] = json!(nobody),
                    "own, other key" => body["publicKeyId"] = self.other_key["publicKeyId"].clone(),
                    "own, unknown key" => body["publicKeyId"] = json!(nobody),
                    _ => {}
                }
                body
            }
            ("POST /sources", "own") => json!({
                "name": format!("New {turn} {}", actor.name), "connector": "ldap",
                "owner": { "type": "IDENTITY", "id": own.identity },
            }),
            ("POST /sources", _) => json!({
                "name": format!("New {turn} {}", actor.name), "connector": "ldap",
                "owner": { "type": "IDENTITY", "id": own.identity },
                "connectorAttributes": { "host": "a.example.com", "bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example" },
            }),
            (
                "POST /sources/{id}/connector/check-connection"
                | "POST /sources/{id}/load-accounts",
                _,
            ) => Value::Null,
            (route, _) if route.starts_with("GET ") => Value::Null,
            (route, _) => panic!("{route} has no body: say in `body` what is sent"),
        }
    }
}

/// The path in one of seven equivalent styles, chosen by `turn`.
fn in_style(path: &str, turn: usize) -> String {
    let prefixes = ["v3", "beta", "v2024", "v2025", "v2026", "latest"];
    if let Some(prefix) = prefixes.get(turn % 7) {
        return format!("/{prefix}{path}");
    }
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    format!("/{first}/v1/{rest}")
}
