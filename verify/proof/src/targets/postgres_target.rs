//! PostgreSQL as a target: `psql` for its administrator and for sign-ins.

use std::{collections::HashMap, fmt::Write as _, process::Command};

use rekey_harness::{Result, text};
use serde_json::{Value, json};

use super::run;

/// A PostgreSQL server whose roles are accounts.
pub(crate) struct PostgresTarget {
    described: Value,
}

impl PostgresTarget {
    pub(super) fn of(described: Value) -> Self {
        Self { described }
    }

    /// The server's address.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port())
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u64 {
        self.described.get("port").and_then(Value::as_u64).unwrap_or_default()
    }

    /// The attributes of a source that connects at `port`.
    pub(crate) fn attributes(&self, port: u64) -> Value {
        let own = |name: &str| text(&self.described, name);
        json!({
            "host": "127.0.0.1", "port": port, "tls": "verify-full",
            "caCertificate": own("caCertificate"), "user": own("user"), "password": own("password"),
            "database": own("database"),
            "correlation": {"accountAttribute": "rolname", "identityAttribute": "alias"},
        })
    }

    /// The path of the server's log.
    pub(crate) fn log(&self) -> String {
        text(&self.described, "log")
    }

    /// Creates a role for each name. They are created as the service role: since PostgreSQL 16 a
    /// role that is not a superuser may alter only roles that it administers.
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

    /// Whether the role can sign in with this password.
    pub(crate) async fn signs_in(&self, name: &str, password: &str) -> Result<bool> {
        let said = run(self.psql(name, password), "select 1;".to_owned()).await?;
        match said.code {
            Some(0) => Ok(true),
            _ if said.errors.contains("password authentication failed") => Ok(false),
            _ => Err(format!("psql of {name}: {}", said.errors).into()),
        }
    }

    /// Counts the committed writes, by the account's name and then by the verifier: a change that
    /// was written twice has the same verifier twice.
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
