//! PostgreSQL, administered with the Rust client. The sign-in uses `psql`, which normalizes
//! passwords with libpq's own code.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use rekey_connectors::{Entry, FaultKind, conformance::Bench, kind};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{log, text};

pub(crate) struct Server {
    target: Value,
    attributes: Value,
    admin: Client,
}

impl Server {
    /// `user` and `password` name the members of `target` that contain the role's name and
    /// password.
    pub(crate) async fn open(target: &Value, user: &str, password: &str) -> Self {
        let attributes = json!({
            "host": target["host"], "port": target["port"], "database": target["database"],
            "caCertificate": target["caCertificate"], "user": target[user],
            "password": target[password],
        });
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text(target, "caCertificate").as_bytes())
        {
            roots.add(certificate.unwrap()).unwrap();
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (admin, connection) = tokio_postgres::Config::new()
            .host(text(target, "host"))
            .port(target["port"].as_u64().unwrap().try_into().unwrap())
            .user(text(target, user))
            .password(text(target, password))
            .dbname(text(target, "database"))
            .connect(MakeRustlsConnect::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        // If the role may set it, the server logs every statement, so that the log would show
        // passwords.
        let _ = admin
            .batch_execute(&format!("ALTER ROLE {} SET log_statement = 'all'", text(target, user)))
            .await;
        Self { target: target.clone(), attributes, admin }
    }

    async fn execute(&self, statement: &str) {
        self.admin.batch_execute(statement).await.unwrap();
    }
}

#[async_trait]
impl Bench for Server {
    fn kind(&self) -> &'static Entry {
        kind("postgresql").unwrap()
    }

    fn attributes(&self) -> Value {
        self.attributes.clone()
    }

    fn wrong_authority(&self) -> String {
        text(&self.target, "wrongCaCertificate")
    }

    async fn create(&self, name: &str, password: &str) -> String {
        self.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await;
        name.to_owned()
    }

    fn missing(&self, name: &str) -> String {
        name.to_owned()
    }

    async fn remove(&self, native_identity: &str) {
        self.execute(&format!("DROP ROLE {native_identity}")).await;
    }

    async fn lock(&self, native_identity: &str) -> FaultKind {
        self.execute(&format!("ALTER ROLE {native_identity} NOLOGIN")).await;
        FaultKind::Unsupported
    }

    async fn privileged(&self, name: &str) -> Vec<String> {
        let mut made = Vec::new();
        // The role of the test may lack the right to create some of these roles.
        for (number, right) in [
            "CREATEROLE",
            "SUPERUSER",
            "REPLICATION",
            "BYPASSRLS",
            "IN ROLE pg_read_all_data",
            &format!("IN ROLE {name}p0"),
        ]
        .iter()
        .enumerate()
        {
            let role = format!("{name}p{number}");
            let statement = format!("CREATE ROLE {role} LOGIN PASSWORD 'x' {right}");
            if self.admin.batch_execute(&statement).await.is_ok() {
                made.push(role);
            }
        }
        assert!(made.len() > 2, "{made:?}");
        made
    }

    async fn logs_in(&self, native_identity: &str, password: &str) -> bool {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-w", "-d", "postgres", "-c", "SELECT 1", "-U", native_identity])
            .args(["-h", &text(&self.target, "host"), "-p", &self.target["port"].to_string()])
            .env("PGSSLMODE", "allow")
            .env("PGPASSWORD", password)
            .stdout(Stdio::null());
        let out = spawn_blocking(move || psql.output().unwrap()).await.unwrap();
        let error = String::from_utf8_lossy(&out.stderr);
        let is_refused =
            error.contains("authentication failed") || error.contains("is not permitted to log in");
        assert!(out.status.success() || is_refused, "{error}");
        out.status.success()
    }

    fn refused(&self) -> Vec<(String, &'static str)> {
        Vec::new()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn log(&self) -> Option<PathBuf> {
        log(&self.target)
    }
}
