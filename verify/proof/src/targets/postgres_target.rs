//! PostgreSQL as a target: `psql` for its administrator and for those who sign in.

use std::{collections::HashMap, fmt::Write as _, process::Command};

use rekey_harness::{Result, text};
use serde_json::{Value, json};

use super::run;

/// A server whose roles are accounts.
pub(crate) struct PostgresTarget {
    described: Value,
}

impl PostgresTarget {
    pub(super) fn of(described: Value) -> Self {
        Self { described }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port())
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u64 {
        self.described.get("port").and_then(Value::as_u64).unwrap_or_default()
    }

    /// What a source needs to reach it at `port`.
    pub(crate) fn attributes(&self, port: u64) -> Value {
        let own = |name: &str| text(&self.described, name);
        json!({
            "host": "127.0.0.1", "port": port, "tls": "verify-full",
            "caCertificate": own("caCertificate"), "user": own("user"), "password": own("password"),
            "database": own("database"),
            "correlation": {"accountAttribute": "rolname", "identityAttribute": "alias"},
        })
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        text(&self.described, "log")
    }

    /// Makes a role for each name. The service role makes them itself: from PostgreSQL 16 on, only
    /// that lets it change them.
    pub(crate) async fn add(&self, names: &[String], password: &str) -> Result<()> {
        let mut sql = format!("set role \"{}\";\n", text(&self.described, "user"));
        for name in names {
            writeln!(sql, "create role \"{name}\" login password '{password}';")?;
        }
        let (user, secret) = ("adminUser", "adminPassword");
        let command = self.psql(&text(&self.described, user), &text(&self.described, secret));
        let said = run(command, sql).await?;
        if said.well { Ok(()) } else { Err(format!("psql: {}", said.errors).into()) }
    }

    /// Whether the password opens the account.
    pub(crate) async fn signs_in(&self, name: &str, password: &str) -> Result<bool> {
        let said = run(self.psql(name, password), "select 1;".to_owned()).await?;
        match said.code {
            Some(0) => Ok(true),
            _ if said.errors.contains("password authentication failed") => Ok(false),
            _ => Err(format!("psql of {name}: {}", said.errors).into()),
        }
    }

    /// How often a write was committed, by the account's name and then by the verifier: a change
    /// that was written twice shows the same verifier twice.
    pub(crate) fn writes(log: &str) -> HashMap<String, HashMap<String, u64>> {
        let mut open = HashMap::new();
        let mut writes: HashMap<String, HashMap<String, u64>> = HashMap::new();
        for line in log.lines() {
            let process = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            let Some((process, said)) = process else { continue };
            if let Some((_, altered)) = said.split_once("statement: ALTER ROLE ") {
                let mut words = altered.split(' ');
                let name = words.next().unwrap_or_default().trim_matches('"').to_owned();
                open.insert(process, (name, words.next_back().unwrap_or_default().to_owned()));
            } else if said.ends_with("statement: COMMIT") {
                if let Some((name, verifier)) = open.remove(process) {
                    *writes.entry(name).or_default().entry(verifier).or_default() += 1;
                }
            } else if said.ends_with("statement: ROLLBACK") {
                open.remove(process);
            }
        }
        writes
    }

    fn psql(&self, user: &str, password: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-U", user]);
        psql.args(["-h", "127.0.0.1", "-p", &self.port().to_string()]);
        psql.env("PGPASSWORD", password).env("PGSSLMODE", "disable");
        psql
    }
}
