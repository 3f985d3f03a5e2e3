//! `rekey config`: the settings with their documentation, and the settings in force.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::out::{self, say};
use crate::{
    Error,
    config::{Config, DEFAULT},
    store::Place,
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Say whether the settings can be used.
    Check,
    /// Print every setting with its documentation and default, as a file to start from.
    Default,
    /// Print the settings in force, without secrets.
    Show,
}

impl Command {
    pub(super) fn run(self, file: Option<&Path>, json: bool) -> Result<ExitCode, Error> {
        match self {
            Self::Check => {
                let config = Config::load(file)?;
                Place::parse(&config.store_url()?)?;
                super::log::check(&config.log)?;
                if json {
                    out::json(&json!({ "ok": true }));
                } else {
                    say!("the settings can be used");
                }
            }
            Self::Default => say!("{}", DEFAULT.trim_end()),
            Self::Show => {
                let shown = Config::shown(file)?;
                if json {
                    out::json(&shown);
                } else {
                    say!("{}", shown.to_string().trim_end());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
