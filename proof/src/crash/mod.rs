//! `kill -9` under load, again and again.

use clap::Args;
use rekey_drive::{Place, Result, Server, fresh_database};

/// How long it goes on, and on what.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the server is killed.
    #[arg(long, default_value_t = 200)]
    cycles: usize,
    /// `postgres://` URL of a server where databases may be made; SQLite without.
    #[arg(long)]
    postgres: Option<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let url = match &options.postgres {
        Some(admin) => Some(fresh_database(admin).await?),
        None => None,
    };
    let place = Place::new(url)?;
    let mut server = Server::start(&place, &[]).await?;
    for cycle in 1..=options.cycles {
        server.kill()?;
        server = Server::start_at(&place, &server.address.clone(), &[]).await?;
        println!("cycle {cycle}: killed and back");
    }
    Ok(())
}
