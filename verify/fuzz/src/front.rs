//! A whole rekey, called without a connection.

use std::{net::SocketAddr, sync::LazyLock};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{
        Request,
        header::{AUTHORIZATION, HOST},
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Collected};
use rekey::{App, bootstrap, config::Config, http::api, model::time::Clock, ops::open};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// The instance of this process.
pub fn front() -> &'static Front {
    static FRONT: LazyLock<Front> = LazyLock::new(|| Front::new().expect("a rekey to ask"));
    &FRONT
}

/// A rekey in the state after its first start, with an administrator's token.
pub struct Front {
    runtime: Runtime,
    router: Router,
    token: String,
    /// The ids of existing objects that replace `$0`, `$1` and so on in a body.
    ids: Vec<String>,
    _folder: TempDir,
}

impl Front {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let mut config = Config::default();
        config.limits.requests_per_10s = 0;
        config.limits.changes_per_account_per_day = 0;
        folder.path().clone_into(&mut config.store.folder);
        let app: App = runtime.block_on(open::or_create(config, Clock::default()))?;
        let first = runtime.block_on(bootstrap::first_start(&app))?.ok_or("not the first start")?;
        let router = api::router(app);
        let mut front =
            Self { runtime, router, token: String::new(), ids: Vec::new(), _folder: folder };
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            first.client_id, first.client_secret
        );
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let token = front.read("POST", "/oauth/token", &form, false, body.as_bytes()).1;
        front.token = text(&token, "access_token");
        let asked = json!({"userName": "admin", "sourceName": "IdentityNow"}).to_string();
        let json = [("content-type", "application/json")];
        let info = front.read("POST", "/query-password-info", &json, true, asked.as_bytes()).1;
        let account = info.get("accounts").and_then(|all| all.get(0)).cloned().unwrap_or_default();
        front.ids = ["identityId", "sourceId", "publicKeyId"].map(|name| text(&info, name)).into();
        front.ids.push(text(&account, "accountId"));
        if front.ids.iter().any(String::is_empty) {
            return Err(format!("no password info: {info}").into());
        }
        Ok(front)
    }

    /// Sends a request, with the administrator's token if `known`. Returns the status, or `None` if
    /// the input is not a valid request.
    ///
    /// # Panics
    ///
    /// If the answer is a 500, or there is no answer: that is a finding.
    pub fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        known: bool,
        body: &[u8],
    ) -> Option<u16> {
        let (status, body) = self.read(method, target, headers, known, body);
        assert!(status != Some(500), "{method} {target}: {body}");
        status
    }

    fn read(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        known: bool,
        body: &[u8],
    ) -> (Option<u16>, Value) {
        let mut request = Request::builder().method(method).uri(target).header(HOST, "rekey");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if known {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        let Ok(request) = request.body(Body::from(body.to_vec())) else {
            return (None, Value::Null);
        };
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        if let Some((uri, style)) = api::normalise(&parts.uri) {
            parts.uri = uri;
            parts.extensions.insert(style);
        }
        self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(Request::from_parts(parts, body)).await;
            let answer = answer.unwrap_or_else(|never| match never {});
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.map(Collected::to_bytes);
            let bytes = bytes.expect("a body that is whole");
            let value = serde_json::from_slice(&bytes);
            (Some(status), value.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
        })
    }

    /// Every route that takes a body, with the id of an existing object in its path.
    pub fn routes_with_body(&self) -> Vec<(String, String)> {
        let source = self.ids.get(1).cloned().unwrap_or_default();
        api::routes()
            .into_iter()
            .filter(|route| route.method.as_str() != "GET")
            .map(|route| (route.method.to_string(), route.path.replace("{id}", &source)))
            .collect()
    }

    /// The path of every collection.
    pub fn lists(&self) -> Vec<&'static str> {
        let lists = api::routes().into_iter().filter(|route| route.method.as_str() == "GET");
        lists.map(|route| route.path).filter(|path| !path.contains('{')).collect()
    }

    /// Replaces `$0` by the id of an existing identity, `$1` of a source, `$2` of a key and `$3` of
    /// an account.
    pub fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
        let ids = self.ids.iter().enumerate();
        ids.fold(text.to_owned(), |text, (at, id)| text.replace(&format!("${at}"), id)).into_bytes()
    }

    /// The administrator's token with one part replaced, which makes it invalid.
    pub fn spoilt(&self, by: &[u8]) -> String {
        let mut parts: Vec<String> = self.token.split('.').map(str::to_owned).collect();
        let part = by.first().map_or(0, |byte| usize::from(byte % 3));
        if let Some(part) = parts.get_mut(part) {
            let new = BASE64_URL_SAFE_NO_PAD.encode(by);
            // An identical part would leave the token valid.
            *part = if new == *part { String::new() } else { new };
        }
        format!("Bearer {}", parts.join("."))
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
