//! `rekey source`: tests of the connected systems.

use std::process::ExitCode;

use serde_json::json;

use super::out::{self, say};
use crate::{App, Error, model::source::Source, store::Tx};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Ask a source whether it answers and takes rekey's own credentials; exit code 0 or 1.
    Test {
        /// The source, by its name.
        name: String,
    },
}

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        let Self::Test { name } = self;
        let source = named(app, &name).await?;
        let tested = match app.handles.open(&source) {
            Ok(connector) => connector.test().await.map_err(Error::Fault),
            Err(error) => Err(error),
        };
        match tested {
            Ok(()) if json => out::json(&json!({ "source": source.name, "ok": true })),
            Ok(()) => say!("{} answers and takes rekey's credentials", source.name),
            Err(error) if json => {
                out::json(&json!({
                    "source": source.name, "ok": false, "error": error.to_string(),
                }));
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(Error::Setup(format!("{}: {error}", source.name))),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The source of this name; otherwise an error with the nearest name, or with all names.
pub(super) async fn named(app: &App, name: &str) -> Result<Source, Error> {
    let sources = app.store.read(|tx: &mut Tx<'_>| tx.sources()).await?;
    let key = crate::model::identity::name_key(name);
    let names: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
    let found =
        sources.into_iter().find(|source| crate::model::identity::name_key(&source.name) == key);
    found.ok_or_else(|| {
        let nearest = rekey_connectors::nearest(name, names.iter().map(String::as_str));
        let nearest =
            if nearest.is_empty() { format!(": there are {}", names.join(", ")) } else { nearest };
        Error::Setup(format!("there is no source {name}{nearest}"))
    })
}
