//! `rekey sign-in`: checks whether a password is in force, for scripts and for troubleshooting.

use std::{io::Read, process::ExitCode};

use rekey_vault::Password;
use serde_json::json;

use super::out::{self, say};
use crate::{App, Error, sign_in::Network};

/// The most bytes read from standard input: more than the longest password.
const LONGEST: u64 = 4096;

#[derive(clap::Args)]
pub(super) struct SignIn {
    /// Who, by their alias. The password is read from standard input.
    user: String,
}

impl SignIn {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        let password = read_password()?;
        let yes = app.sign_ins.sign_in(Network::LOCAL, &self.user, password).await?.is_some();
        if json {
            out::json(&json!({ "user": self.user, "signedIn": yes }));
        } else if yes {
            say!("{} can sign in with this password", self.user);
        } else {
            say!("{} cannot sign in with this password", self.user);
        }
        Ok(if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Reads the password. One final line feed comes from the shell and is no part of it.
fn read_password() -> Result<Password, Error> {
    let mut text = String::new();
    let read = std::io::stdin().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| {
        Error::Setup(format!("the password cannot be read from standard input: {error}"))
    })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(Password::new(text))
}
