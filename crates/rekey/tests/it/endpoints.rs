//! What callers learn about the network around a source.

use hyper::StatusCode;
use rekey::model::level::Level;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    site::{Site, on_both_stores},
    sources::{admin, ended, made},
};

on_both_stores!(only_an_administrator_learns_why_a_source_cannot_be_reached);

async fn only_an_administrator_learns_why_a_source_cannot_be_reached(site: Site) {
    let admin = admin(&site).await;
    let keeper = site.person("keeper", &[Level::SourceAdmin]).await;
    let keeper = site.token_of(&site.personal_access_token(&keeper).await).await;
    let web = web_server().await;
    let mut reasons = Vec::new();
    for (name, connector, attributes) in [
        ("refuses", "ldap", json!({"port": 1})),
        ("has no name", "ldap", json!({"host": "no.such.host.invalid"})),
        ("is forbidden", "postgresql", json!({"host": "169.254.169.254"})),
        ("speaks no TLS", "ldap", json!({"port": web})),
        ("speaks no TLS either", "postgresql", json!({"port": web})),
        ("speaks HTTP", "ldap", json!({"port": web, "tls": "none", "allowInsecure": true})),
        (
            "speaks HTTP too",
            "postgresql",
            json!({"port": web, "tls": "none", "allowInsecure": true}),
        ),
    ] {
        let mut all = json!({"host": "127.0.0.1"});
        let own = if connector == "ldap" {
            json!({"bindDn": "cn=rekey", "bindPassword": "s3cret", "baseDn": "dc=example,dc=com"})
        } else {
            json!({"user": "rekey", "password": "s3cret"})
        };
        for (name, value) in own.as_object().unwrap().iter().chain(attributes.as_object().unwrap())
        {
            all[name] = value.clone();
        }
        let body = json!({"name": name, "connector": connector, "connectorAttributes": all});
        let source = made(&site, &admin, body).await;
        source.assert(StatusCode::CREATED);
        let id = source.body["id"].as_str().unwrap();
        let path = format!("/v2024/sources/{id}/load-accounts");
        let begun = site.post(&path).token(&keeper).send().await;
        let public = ended(&site, &keeper, &begun).await;
        assert_eq!(said(&public), "the source cannot be reached", "{name}");
        assert!(!public.to_string().contains("127.0.0.1"), "{public}");
        let path = format!("/v3/task-status?filters=sourceId+eq+%22{id}%22");
        let listed = site.get(&path).token(&keeper).send().await;
        assert_eq!(said(&listed.body[0]), "the source cannot be reached", "{name}");
        let full = said(&ended(&site, &admin.1, &begun).await).to_owned();
        assert_ne!(full, "the source cannot be reached", "{name}");
        let path = format!("/beta/sources/{id}/connector/check-connection");
        let checked = site.post(&path).token(&admin.1).send().await;
        assert_eq!(checked.body["details"]["error"], full.as_str(), "{name}");
        reasons.push(full);
    }
    for (reason, expected) in reasons.iter().zip([
        "127.0.0.1:1 cannot be reached: ",
        "no.such.host.invalid:636 cannot be reached: ",
        "169.254.169.254 has a link-local or metadata address",
        "TLS could not be set up",
        "the server could not be signed in to",
        "",
        "the server could not be signed in to",
    ]) {
        assert!(reason.starts_with(expected), "{reason}");
    }
}

fn said(task: &Value) -> &str {
    task["messages"][0]["localizedText"]["message"].as_str().unwrap_or_default()
}

/// Starts a server of another protocol; returns its port.
async fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            });
        }
    });
    port
}
