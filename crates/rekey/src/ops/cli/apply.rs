//! `rekey apply`: makes the store match a site file.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::out::{self, say};
use crate::{App, Error, client::Created, ops::apply};

#[derive(clap::Args)]
pub(super) struct Apply {
    /// The file, in YAML: identities, policies, dictionary, sources, sync groups, clients.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would be done, or why it cannot be.
    #[arg(long)]
    dry_run: bool,
    /// Remove what is not in a list that the file has.
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            Error::Setup(format!("{} cannot be read: {error}", self.file.display()))
        })?;
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let plan = apply::plan(app, &text, folder, self.prune).await?;
        let (steps, lines) = (plan.json(), plan.lines());
        let made = if self.dry_run {
            apply::rehearse(app, plan).await?;
            Vec::new()
        } else {
            apply::run(app, plan).await?
        };
        if json {
            let clients: Vec<_> = made.iter().map(client).collect();
            out::json(&json!({ "dryRun": self.dry_run, "steps": steps, "clients": clients }));
            return Ok(ExitCode::SUCCESS);
        }
        for line in &lines {
            say!("{line}");
        }
        match (lines.is_empty(), self.dry_run) {
            (true, _) => say!("nothing to do: the store says what the file says"),
            (false, true) => say!("nothing was done: leave out --dry-run to do it"),
            (false, false) => {}
        }
        for (name, Created { id, secret }) in &made {
            say!("client {name}: id {id}, secret {}", shown(secret));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn client((name, Created { id, secret }): &(String, Created)) -> serde_json::Value {
    json!({ "name": name, "clientId": id, "clientSecret": secret })
}

fn shown(secret: &str) -> &str {
    if secret.is_empty() { "none" } else { secret }
}
