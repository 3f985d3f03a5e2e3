//! Opens an installation: its folder, its store and its master key.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{Kek, Purpose, Sealer};

use crate::{
    App, Error,
    config::Config,
    model::time::Clock,
    store::{Place, Store},
};

/// The setting by which a wrong master key is recognised: a value sealed under the right one.
const KEY_CHECK: &str = "master_key_check";

/// Opens the installation that the configuration names, and creates it if it does not exist.
pub async fn or_create(config: Config, clock: Clock) -> Result<App, Error> {
    let url = config.store_url()?;
    let place = Place::parse(&url)?;
    folder(&config.store.folder)?;
    if let Place::File(file) = &place {
        own_file(file);
    }
    let store = Store::open(&url, clock.clone()).await?;
    let sealer = sealer(&store, &config.master_key_file()).await?;
    App::new(config, store, sealer, clock).await
}

/// Opens an installation whose store must exist: for commands that run beside a server.
pub async fn existing(config: Config) -> Result<App, Error> {
    let url = config.store_url()?;
    if let Place::File(file) = Place::parse(&url)?
        && !file.exists()
    {
        let file = file.display();
        return Err(Error::Setup(format!(
            "there is no store {file} yet: start `rekey serve` or `rekey init` first, in this folder or with the same --config"
        )));
    }
    or_create(config, Clock::default()).await
}

fn folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Error::Setup(format!(
            "the folder {} cannot be made: {error}; make it, or set store.folder to one that can be written to",
            path.display()
        ))
    })
}

/// Creates the store's file readable by its owner only; SQLite gives its other files the same mode.
/// Errors are ignored, because opening the store reports them.
fn own_file(path: &Path) {
    drop(OpenOptions::new().create(true).append(true).mode(0o600).open(path));
}

/// The sealer with the store's master key, which is created if there is neither a key file nor a
/// store sealed under one. A key that does not belong to the store is an error.
async fn sealer(store: &Store, file: &Path) -> Result<Sealer, Error> {
    let used = store.read(|tx| tx.setting(KEY_CHECK)).await?.is_some();
    let kek = if file.exists() {
        Kek::load(file)?
    } else if used {
        return Err(Error::Setup(format!(
            "the master key {file} is missing, and the secrets in the store are sealed under it: put the file back from its backup, or name it in store.master_key_file",
            file = file.display()
        )));
    } else {
        // Another node that starts at the same moment may have created it since.
        Kek::create(file).or_else(|error| Kek::load(file).map_err(|_| error))?
    };
    let sealer = Sealer::new(kek);
    let check = sealer.seal(Purpose::MasterKeyCheck, KEY_CHECK, b"rekey")?;
    let check = BASE64_STANDARD.encode(check);
    let kept = store.write(move |tx| tx.settle_setting(KEY_CHECK, &check)).await?;
    let kept = BASE64_STANDARD.decode(kept).unwrap_or_default();
    sealer.open(Purpose::MasterKeyCheck, KEY_CHECK, &kept).map_err(|_| {
        Error::Setup(format!(
            "the master key does not belong to this store: {} is another one; put back the file the store was made with, or name it in store.master_key_file",
            file.display()
        ))
    })?;
    Ok(sealer)
}
