//! `rekey demo`: a throw-away installation and a guided password change.

use std::{net::SocketAddr, process::ExitCode};

use crate::{Error, config::Log, ops::demo};

#[derive(clap::Args)]
pub(super) struct Demo {
    /// Stop after the guide; exit code 0 if every step held.
    #[arg(long)]
    exit: bool,
    /// Address and port; 127.0.0.1:8080 or, if that is taken, a free port.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Demo {
    pub(super) async fn run(self, json: bool) -> Result<ExitCode, Error> {
        super::log::start(&Log { filter: "error".into(), json: false }, None)?;
        let listen = self.listen.map_or(demo::Listen::Usual, demo::Listen::At);
        let stop = super::serve::until_stopped()?;
        demo::run(listen, self.exit, json, stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}
