//! A folder, a store, and the binary that uses them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::Result;

/// The folder of a rekey. It is removed with everything in it when this is dropped.
pub struct Place {
    folder: TempDir,
    /// The build of rekey that runs here; it may be replaced between two starts.
    pub binary: PathBuf,
    url: Option<String>,
    /// The first credentials, as `rekey init` printed them.
    pub bootstrap: Value,
}

impl Place {
    /// Initializes a new store: a SQLite file in the folder, or the PostgreSQL database at `url`.
    pub fn new(url: Option<String>) -> Result<Self> {
        Self::of(binary(), url)
    }

    /// Initializes a new store with another build of rekey.
    pub fn of(binary: PathBuf, url: Option<String>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut place = Self { folder, binary, url, bootstrap: Value::Null };
        place.bootstrap = serde_json::from_str(&place.rekey(&["init", "--json"])?)?;
        Ok(place)
    }

    /// The working directory of all commands.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The location of the store, as in `store.url`.
    pub fn store_url(&self) -> String {
        self.url
            .clone()
            .unwrap_or_else(|| self.folder().join("rekey-data/rekey.db").display().to_string())
    }

    /// The log of all servers of this folder.
    pub fn log(&self) -> PathBuf {
        self.folder().join("rekey.log")
    }

    /// Runs a rekey command and returns its standard output; a command that fails is an error.
    pub fn rekey(&self, words: &[&str]) -> Result<String> {
        let done = self.command().args(words).output()?;
        if !done.status.success() {
            return Err(
                format!("rekey {words:?}: {}", String::from_utf8_lossy(&done.stderr)).into()
            );
        }
        Ok(String::from_utf8(done.stdout)?)
    }

    /// A `rekey` command, in the folder and for the store.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder());
        if let Some(url) = &self.url {
            command.env("REKEY_STORE__URL", url);
        }
        command
    }
}

/// The `rekey` beside this binary, unless `REKEY_BINARY` names another one.
pub fn binary() -> PathBuf {
    let beside = env::current_exe().map(|exe| exe.with_file_name("rekey")).unwrap_or_default();
    env::var_os("REKEY_BINARY").map_or(beside, PathBuf::from)
}

/// Creates a database on the server at `admin`, the `postgres://` URL of a role that may create
/// databases. Returns the new database's URL. The database is not removed: test servers are
/// discarded as a whole.
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
