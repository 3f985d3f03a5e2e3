//! The command line: one file for each command.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{App, Error, audit::chain::Chainer, config::Config, model::audit::Origin, ops::open};

mod account;
mod apply;
mod audit;
mod config;
mod demo;
mod doctor;
mod harden;
mod init;
mod keys;
mod log;
#[cfg(not(feature = "otlp"))]
mod no_traces;
pub(crate) mod out;
mod serve;
mod sign_in;
mod source;
mod token;
#[cfg(feature = "otlp")]
mod traces;

#[cfg(not(feature = "otlp"))]
use self::no_traces as traces;

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
    /// Say whose the accounts on connected systems are.
    #[command(subcommand)]
    Account(account::Command),
    /// Make the store say what a file says: people, policies, sources, sync groups, clients.
    Apply(apply::Apply),
    /// Look at the audit trail, and whether it is what was written.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show or check the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Try rekey: a throw-away store with people in it, and a guided password change.
    Demo(demo::Demo),
    /// Look whether everything is as it should be, and say what to do; exit code 0 or 1.
    Doctor,
    /// Make the store, the master key and the first credentials, without serving.
    Init,
    /// Show or rotate the keys that clients encrypt passwords with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Serve requests and carry out password changes.
    Serve,
    /// Say whether a person's password is the one on standard input; exit code 0 or 1.
    SignIn(sign_in::SignIn),
    /// Test a connected system.
    #[command(subcommand)]
    Source(source::Command),
    /// Make, show and revoke credentials for programs.
    #[command(subcommand)]
    Token(token::Command),
}

/// Runs the command that this process's arguments name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    harden::process();
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
        let (file, json) = (self.config.as_deref(), self.json);
        match self.command {
            Command::Account(command) => {
                beside(file, "account", async |app| command.run(app, json).await).await
            }
            Command::Apply(apply) => {
                beside(file, "apply", async |app| apply.run(app, json).await).await
            }
            Command::Audit(command) => {
                let app = open::existing(Config::load(file)?).await?;
                let done = command.run(&app, json).await;
                app.store.close().await;
                done
            }
            Command::Config(command) => command.run(file, json),
            Command::Demo(demo) => demo.run(json).await,
            Command::Doctor => Ok(doctor::run(file, json).await),
            Command::Init => init::run(Config::load(file)?, json).await,
            Command::Keys(command) => {
                beside(file, "keys", async |app| command.run(app, json).await).await
            }
            Command::Serve => serve::run(Config::load(file)?, json).await,
            Command::SignIn(sign_in) => {
                beside(file, "sign-in", async |app| sign_in.run(app, json).await).await
            }
            Command::Source(command) => {
                beside(file, "source", async |app| command.run(app, json).await).await
            }
            Command::Token(command) => {
                beside(file, "token", async |app| command.run(app, json).await).await
            }
        }
    }
}

/// Opens the store for a command, whether or not a server is running, and closes it afterwards.
async fn beside(
    file: Option<&Path>,
    name: &'static str,
    command: impl AsyncFnOnce(&App) -> Result<ExitCode, Error>,
) -> Result<ExitCode, Error> {
    let app = open::existing(Config::load(file)?).await?;
    let done = Origin::of_command(name).scope(command(&app)).await;
    // The command's audit rows are chained at once, since no server may be running. A failure is
    // ignored: a running server, or the next start, chains the rows.
    let _ = Chainer::default().finish(&app.audit).await;
    app.store.close().await;
    done
}
