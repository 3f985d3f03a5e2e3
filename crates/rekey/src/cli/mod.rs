//! The command line: one file per command.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{Error, config::Config};

mod config;
mod init;
mod log;
mod out;
mod serve;

/// Changes people's passwords where they live, speaking SailPoint ISC's password API.
#[derive(Parser)]
#[command(name = "rekey", version, arg_required_else_help = true)]
struct Cli {
    /// The settings; ./rekey.toml if there is one. `rekey config default` shows all of them.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show or check the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Make the store, the master key and the first credentials, without serving.
    Init,
    /// Serve requests and carry out password changes.
    Serve,
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => Err(Error::Setup(format!("no threads can be started: {error}"))),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            out::error(&error);
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    async fn run(self) -> Result<ExitCode, Error> {
        let file = self.config.as_deref();
        match self.command {
            Command::Config(command) => command.run(file, self.json),
            Command::Init => init::run(Config::load(file)?, self.json).await,
            Command::Serve => serve::run(Config::load(file)?, self.json).await,
        }
    }
}
