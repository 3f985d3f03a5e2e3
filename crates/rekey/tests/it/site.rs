//! A complete rekey on a free port, with people and sources for tests.

use std::{env, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rekey::{App, config::Config, model::time::Clock, store::Store};
use rekey_vault::{Kek, Padding, PublicKey, Sealer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};

/// Runs each test twice: with the store in SQLite and in PostgreSQL.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$test($crate::site::Site::on_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(site) = $crate::site::Site::on_postgres().await {
                    super::$test(site).await;
                }
            }
        }
    )*};
}
pub(crate) use on_both_stores;

pub(crate) struct Site {
    pub(crate) app: App,
    base: String,
    http: Client<HttpConnector, Full<Bytes>>,
    pub(crate) store_url: String,
    pub(crate) folder: Arc<TempDir>,
    _stop: watch::Sender<bool>,
}

impl Site {
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("rekey.db").display().to_string();
        Self::on(&url, folder).await
    }

    /// A site on a new PostgreSQL database, or `None` if `REKEY_TEST_POSTGRES` names no server.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let url = postgres_url().await?;
        Some(Self::on(&url, tempfile::tempdir().unwrap()).await)
    }

    async fn on(url: &str, folder: TempDir) -> Self {
        let mut config = Config::default();
        config.limits.requests_per_10s = 0;
        config.store.folder = folder.path().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.server.listen = listener.local_addr().unwrap();
        let base = config.base_url();
        let clock = Clock::default();
        let store = Store::open(url, clock.clone()).await.unwrap();
        let sealer = Sealer::new(Kek::create(&folder.path().join("master.key")).unwrap());
        let app = App::new(config, store, sealer, clock).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(rekey::http::serve::run(app.clone(), listener, stopped));
        Self::behind(base, app, url.to_owned(), Arc::new(folder), stop)
    }

    /// Another node on the same store, with its own settings.
    pub(crate) async fn node(&self, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.limits.requests_per_10s = 0;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.server.listen = listener.local_addr().unwrap();
        configure(&mut config);
        let (store, sealer) = (self.app.store.clone(), self.app.sealer.clone());
        let (base, clock) = (config.base_url(), self.app.clock.clone());
        let app = App::new(config, store, sealer, clock).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(rekey::http::serve::run(app.clone(), listener, stopped));
        Self::behind(base, app, self.store_url.clone(), self.folder.clone(), stop)
    }

    /// A site whose server listens at `base` until `stop` is dropped.
    pub(crate) fn behind(
        base: String,
        app: App,
        store_url: String,
        folder: Arc<TempDir>,
        stop: watch::Sender<bool>,
    ) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { app, base, http, store_url, folder, _stop: stop }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask(Method::POST, path)
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        Ask { site: self, request, body: Bytes::new() }
    }

    /// Fetches the password information, encrypts the password, and requests the change.
    pub(crate) async fn set_password(
        &self,
        token: &str,
        who: &str,
        source: &str,
        clear: &str,
    ) -> Answer {
        let info = self
            .post("/v3/query-password-info")
            .token(token)
            .json(json!({"userName": who, "sourceName": source}))
            .send()
            .await;
        info.assert(StatusCode::OK);
        let body = change_body(&info.body, &encrypt(&info.body, clear.as_bytes()));
        self.post("/v3/set-password").token(token).json(body).send().await
    }

    /// Waits until a change has ended, and returns its status.
    pub(crate) async fn ended(&self, token: &str, accepted: &Answer) -> Value {
        accepted.assert(StatusCode::ACCEPTED);
        let id = accepted.body["requestId"].as_str().unwrap();
        loop {
            let status =
                self.get(&format!("/v3/password-change-status/{id}")).token(token).send().await;
            status.assert(StatusCode::OK);
            if status.body["state"] != "IN_PROGRESS" {
                return status.body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The body of `set-password` for the first account of a password info.
pub(crate) fn change_body(info: &Value, encrypted: &str) -> Value {
    json!({
        "identityId": info["identityId"],
        "encryptedPassword": encrypted,
        "publicKeyId": info["publicKeyId"],
        "accountId": info["accounts"][0]["accountId"],
        "sourceId": info["sourceId"],
    })
}

/// Encrypts a password as the documented command does.
pub(crate) fn encrypt(info: &Value, clear: &[u8]) -> String {
    let spki = BASE64_STANDARD.decode(info["publicKey"].as_str().unwrap()).unwrap();
    let key = PublicKey::from_spki(&spki).unwrap();
    BASE64_STANDARD.encode(key.encrypt(Padding::Pkcs1v15, clear).unwrap())
}

/// A request without a caller and a body so far.
pub(crate) struct Ask<'a> {
    site: &'a Site,
    request: hyper::http::request::Builder,
    body: Bytes,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Ask<'_> {
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub(crate) fn text(mut self, kind: &str, body: impl Into<String>) -> Self {
        self.body = Bytes::from(body.into());
        self.header("content-type", kind)
    }

    pub(crate) async fn send(self) -> Answer {
        let request = self.request.body(Full::new(self.body)).unwrap();
        let response = self.site.http.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, text, body }
    }
}

impl Answer {
    pub(crate) fn assert(&self, expected: StatusCode) {
        assert_eq!(self.status, expected, "{}", self.text);
    }

    /// The detail code and the first message of an error.
    pub(crate) fn error(&self) -> (&str, &str) {
        let text = self.body["messages"][0]["text"].as_str().unwrap_or_default();
        (self.body["detailCode"].as_str().unwrap_or_default(), text)
    }
}

/// The URL of a new database on the PostgreSQL server that `REKEY_TEST_POSTGRES` names, such as
/// `postgres://postgres@127.0.0.1:5432/postgres`; `None` if the variable is not set.
pub(crate) async fn postgres_url() -> Option<String> {
    let Ok(server) = env::var("REKEY_TEST_POSTGRES") else {
        println!("skipped on PostgreSQL: REKEY_TEST_POSTGRES is not set");
        return None;
    };
    let name = format!("rekey_{}", uuid::Uuid::new_v4().simple());
    let (client, connection) =
        tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (root, _) = server.rsplit_once('/').unwrap();
    Some(format!("{root}/{name}"))
}
