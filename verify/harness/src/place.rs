//! A folder, a store, and the binary that works there.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::Result;

/// Where a rekey keeps everything. Gone, with all that is in it, when dropped.
pub struct Place {
    folder: TempDir,
    /// The build of rekey that works there; another may take over at any start.
    pub binary: PathBuf,
    url: Option<String>,
    /// What `rekey init` said: the first credentials.
    pub bootstrap: Value,
}

impl Place {
    /// A new store: a SQLite file in the folder, or the PostgreSQL database at `url`.
    pub fn new(url: Option<String>) -> Result<Self> {
        Self::of(binary(), url)
    }

    /// One where another build of rekey works.
    pub fn of(binary: PathBuf, url: Option<String>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut place = Self { folder, binary, url, bootstrap: Value::Null };
        place.bootstrap = serde_json::from_str(&place.rekey(&["init", "--json"])?)?;
        Ok(place)
    }

    /// The folder everything runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store, as `store.url` would name it.
    pub fn store_url(&self) -> String {
        self.url
            .clone()
            .unwrap_or_else(|| self.folder().join("rekey-data/rekey.db").display().to_string())
    }

    /// What its servers say, all of them.
    pub fn log(&self) -> PathBuf {
        self.folder().join("rekey.log")
    }

    /// Runs a rekey command; what it printed.
    pub fn rekey(&self, words: &[&str]) -> Result<String> {
        let done = self.command().args(words).output()?;
        if !done.status.success() {
            return Err(
                format!("rekey {words:?}: {}", String::from_utf8_lossy(&done.stderr)).into()
            );
        }
        Ok(String::from_utf8(done.stdout)?)
    }

    /// `rekey`, in the folder and on the store.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder());
        if let Some(url) = &self.url {
            command.env("REKEY_STORE__URL", url);
        }
        command
    }
}

/// `rekey` beside this binary, unless `REKEY_BINARY` names another.
pub fn binary() -> PathBuf {
    let beside = env::current_exe().map(|exe| exe.with_file_name("rekey")).unwrap_or_default();
    env::var_os("REKEY_BINARY").map_or(beside, PathBuf::from)
}

/// Makes a database of its own on the server at `admin`, a `postgres://` URL of somebody who may;
/// the URL of the new one. It stays when all is over: the server is thrown away as a whole.
pub async fn fresh_database(admin: &str) -> Result<String> {
    let (client, connection) = tokio_postgres::connect(admin, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let name = format!("rekey_{:016x}", u64::from_le_bytes(rekey_vault::random()?));
    client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    drop(client);
    connection.await??;
    let (server, _) = admin.rsplit_once('/').ok_or("the URL of PostgreSQL names no database")?;
    Ok(format!("{server}/{name}"))
}
