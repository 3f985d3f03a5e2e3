//! The target systems of a run, and their descriptions for tests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ca::Ca;
use super::postgres::{self, Postgres};
use super::slapd::{self, Slapd};
use crate::shell::{self, Result};

pub(crate) struct Targets {
    pub(crate) ldap: Result<Slapd>,
    pub(crate) postgres: Result<Postgres>,
    pub(crate) folder: PathBuf,
}

/// The number of accounts of each target: `u1` to `u50`, each with a random password that is not
/// kept.
pub(crate) const PEOPLE: usize = 50;

impl Targets {
    /// Starts all target systems. Those that cannot be started are kept as errors with the reason.
    pub(crate) fn start(folder: &Path) -> Self {
        let ldap = ca(folder).and_then(|ca| Slapd::start(&folder.join("slapd"), &ca));
        let postgres = ca(folder).and_then(|ca| {
            let data = folder.join("postgres");
            shell::make_folder(&data)?;
            Postgres::start(&data, &ca)
        });
        Self { ldap, postgres, folder: folder.to_path_buf() }
    }

    /// The variables by which tests find the targets. Tests skip the targets that have none.
    pub(crate) fn variables(&self) -> Result<Vec<(&'static str, String)>> {
        let mut variables = Vec::new();
        if let Ok(ldap) = &self.ldap {
            let file = self.folder.join("ldap.json");
            shell::write(&file, &self.describe_ldap(ldap)?.to_string())?;
            variables.push(("REKEY_TEST_LDAP", file.display().to_string()));
        }
        if let Ok(postgres) = &self.postgres {
            let file = self.folder.join("postgres.json");
            shell::write(&file, &self.describe_postgres(postgres)?.to_string())?;
            variables.push(("REKEY_TEST_POSTGRES_TARGET", file.display().to_string()));
            variables.push(("REKEY_TEST_POSTGRES", postgres.admin_url("postgres")));
        }
        Ok(variables)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca/ca.pem")
    }

    fn describe_ldap(&self, ldap: &Slapd) -> Result<Value> {
        Ok(json!({
            "host": "127.0.0.1",
            "port": ldap.port,
            "startTlsPort": ldap.start_tls_port,
            "caCertificate": shell::read(&self.certificate())?,
            "wrongCaCertificate": shell::read(&wrong_ca(&self.folder)?.certificate())?,
            "bindDn": slapd::SERVICE,
            "bindPassword": ldap.bind_password,
            "baseDn": slapd::BASE,
            "adminDn": slapd::ADMIN,
            "adminPassword": ldap.admin_password,
            "log": ldap.log,
            "changes": ldap.changes,
            "people": people(),
        }))
    }

    fn describe_postgres(&self, postgres: &Postgres) -> Result<Value> {
        Ok(json!({
            "host": "127.0.0.1",
            "port": postgres.port,
            "caCertificate": shell::read(&self.certificate())?,
            "wrongCaCertificate": shell::read(&wrong_ca(&self.folder)?.certificate())?,
            "user": postgres::SERVICE,
            "password": postgres.password,
            "database": "postgres",
            "adminUser": postgres::ADMIN,
            "adminPassword": postgres.admin_password,
            "log": postgres.log,
            "people": people(),
        }))
    }
}

pub(crate) fn people() -> Vec<String> {
    (1..=PEOPLE).map(|number| format!("u{number}")).collect()
}

/// The certificate authority of all targets of a run; the first caller creates it.
fn ca(folder: &Path) -> Result<Ca> {
    Ca::open_or_make(folder.join("ca"), "rekey test CA")
}

/// An authority that signed no certificate: a client that trusts only it must reject all targets.
fn wrong_ca(folder: &Path) -> Result<Ca> {
    Ca::open_or_make(folder.join("wrong-ca"), "somebody else")
}
