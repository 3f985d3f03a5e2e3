//! `rekey sign-in`: whether a password is the one in force, for scripts and doubts.

use std::{io::Read, process::ExitCode};

use rekey_vault::Password;
use serde_json::json;

use super::out::{self, say};
use crate::{App, Error, sign_in::Network};

/// Longer than any password.
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

/// One line feed at the end is the shell's, not the password's.
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
