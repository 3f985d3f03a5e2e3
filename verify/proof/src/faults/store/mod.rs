//! Faults of the store under load: every `202` must be durable, requests are answered by a clear
//! `503` meanwhile, and rekey must recover by itself.
//!
//! 1. [`load`]: clients that send requests without a pause, and judge every answer;
//! 2. [`trial`]: a fault begins and ends under load; then the server is killed, and every accepted
//!    request must be known, and must end;
//! 3. [`disk`]: faults of a SQLite file and of the machine under it;
//! 4. [`torn_off`]: a file system that becomes read-only under the server;
//! 5. [`server`]: faults of PostgreSQL, on a [`cluster`] that belongs to the proof.

mod cluster;
mod disk;
mod load;
mod server;
mod torn_off;
mod trial;

use clap::Args;
use rekey_harness::{Connection, Info, Place, Result, Server};
use serde_json::{Value, json};

use crate::violations::Violations;

/// Which stores.
#[derive(Args)]
pub(crate) struct Options {
    /// Only SQLite, or only PostgreSQL.
    #[arg(long, value_parser = ["sqlite", "postgres"])]
    store: Option<String>,
    /// Answers before it commits, in the proof build: the checks must see it on a full disk.
    #[arg(long)]
    control: bool,
}

/// The number of people whose passwords are changed concurrently.
const PEOPLE: usize = 24;

pub(crate) async fn run(options: Options) -> Result<()> {
    let violations = Violations::default();
    let wanted = |name: &str| options.store.as_deref().is_none_or(|store| store == name);
    if options.control {
        disk::control(&violations).await?;
    } else {
        if wanted("sqlite") {
            disk::run(&violations).await?;
        }
        if wanted("postgres") {
            server::run(&violations).await?;
        }
    }
    violations.verdict("faults of the store: nothing accepted was lost", options.control)
}

/// Creates [`PEOPLE`] people, and fetches each one's public key for the built-in source.
async fn people(place: &Place, server: &Server) -> Result<Vec<Info>> {
    let names: Vec<String> = (0..PEOPLE).map(|number| format!("p{number}")).collect();
    let identities: Vec<Value> =
        names.iter().map(|who| json!({"alias": who, "name": who})).collect();
    let file = place.folder().join("site.yaml");
    std::fs::write(&file, json!({ "identities": identities }).to_string())?;
    place.rekey(&["apply", "-f", &file.display().to_string()])?;
    let mut connection = Connection::open(&server.address).await?;
    let mut infos = Vec::new();
    for who in names {
        infos.push(Info::ask(&mut connection, &server.headers(), &who, "IdentityNow").await?);
    }
    Ok(infos)
}
