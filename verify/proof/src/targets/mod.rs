//! The target systems, used directly as their operators do, never through rekey.
//!
//! `cargo xtask` starts them: `REKEY_TEST_LDAP` and `REKEY_TEST_POSTGRES_TARGET` name files that
//! describe them, and `REKEY_TEST_POSTGRES` is the URL of a server for stores.

mod built_in;
mod directory;
mod log;
mod postgres_target;

use std::{
    env, fs,
    io::Write as _,
    process::{Command, Stdio},
};

use rekey_harness::Result;
use serde_json::Value;

pub(crate) use self::{
    built_in::is_verifier_of,
    directory::{Directory, Kept},
    log::Log,
    postgres_target::PostgresTarget,
};

/// All target systems.
pub(crate) struct Targets {
    /// OpenLDAP with the password policy overlay.
    pub(crate) directory: Directory,
    /// PostgreSQL, whose roles are the accounts.
    pub(crate) postgres: PostgresTarget,
    /// The URL of a role that may create databases for stores.
    pub(crate) stores: String,
}

impl Targets {
    /// Reads the descriptions that the environment variables name.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self {
            directory: Directory::of(described("REKEY_TEST_LDAP")?),
            postgres: PostgresTarget::of(described("REKEY_TEST_POSTGRES_TARGET")?),
            stores: variable("REKEY_TEST_POSTGRES")?,
        })
    }
}

fn described(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(variable(name)?)?)?)
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| {
        format!("{name} is not set: run this by cargo xtask, or after cargo xtask targets").into()
    })
}

/// The result of a program that was given input.
struct Said {
    well: bool,
    code: Option<i32>,
    out: String,
    errors: String,
}

/// Runs a program on a blocking thread, with `input` on its standard input.
async fn run(mut command: Command, input: String) -> Result<Said> {
    tokio::task::spawn_blocking(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut to) = child.stdin.take() {
            // A program that ends before it has read everything reports why in its error output.
            let _ = to.write_all(input.as_bytes());
        }
        let done = child.wait_with_output()?;
        Ok(Said {
            well: done.status.success(),
            code: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    })
    .await?
}
