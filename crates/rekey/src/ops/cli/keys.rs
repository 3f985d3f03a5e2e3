//! `rekey keys`: the key pairs that clients encrypt passwords with.

use std::process::ExitCode;

use serde_json::json;

use super::out::{self, say};
use crate::{
    App, Error, keys,
    model::{source::Source, source_key::SourceKey},
    store::Tx,
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show every key and how long it decrypts.
    List,
    /// Give sources new keys; the old ones decrypt for the time `keys.grace` says.
    Rotate(Rotate),
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Rotate {
    /// One source, by its name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Every source.
    #[arg(long)]
    all: bool,
}

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        match self {
            Self::List => list(app, json).await?,
            Self::Rotate(rotate) => rotate.run(app, json).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(app: &App, json: bool) -> Result<(), Error> {
    let look = |tx: &mut Tx<'_>| -> Result<_, Error> { Ok((tx.sources()?, tx.source_keys()?)) };
    let (sources, all) = app.store.read(look).await?;
    let mut listed = Vec::with_capacity(all.len());
    for source in &sources {
        let of_source = |key: &&SourceKey| key.source_id == source.id;
        for key in all.iter().filter(of_source) {
            let until = key.accept_until.map(crate::model::time::Micros::rfc3339);
            if json {
                listed.push(json!({
                    "publicKeyId": key.id, "source": source.name, "padding": key.padding.as_str(),
                    "created": key.created.rfc3339(), "acceptUntil": until,
                }));
            } else {
                let until = match until {
                    None => "in use".to_owned(),
                    Some(_) if key.is_revoked() => "revoked".to_owned(),
                    Some(until) => format!("until {until}"),
                };
                let (name, padding) = (&source.name, key.padding.as_str());
                say!("{}  {name}  {padding}  made {}  {until}", key.id, key.created.rfc3339());
            }
        }
    }
    if json {
        out::json(&listed);
    }
    Ok(())
}

impl Rotate {
    async fn run(self, app: &App, json: bool) -> Result<(), Error> {
        let mut rotated = Vec::new();
        for source in self.sources(app).await? {
            let new = keys::generate_both(&app.keys, &source.id).await?;
            let ids: Vec<_> = new.iter().map(|key| key.id.clone()).collect();
            let (id, grace) = (source.id.clone(), app.config.keys.grace);
            app.store
                .write(move |tx| -> Result<(), Error> {
                    keys::rotate(tx, &id, &new, grace)?;
                    keys::audit_rotation(tx, &id, &new)
                })
                .await?;
            if json {
                rotated.push(json!({ "source": source.name, "publicKeyIds": ids }));
            } else {
                say!("{} has new keys", source.name);
            }
        }
        if json {
            out::json(&rotated);
        }
        Ok(())
    }

    async fn sources(&self, app: &App) -> Result<Vec<Source>, Error> {
        let Some(name) = &self.source else {
            let mut all: Vec<Source> = app.store.read(|tx: &mut Tx<'_>| tx.sources()).await?;
            all.retain(Source::has_password);
            return Ok(all);
        };
        super::source::named(app, name).await.map(|source| vec![source])
    }
}
