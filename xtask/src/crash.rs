//! The crash proof: repeated `kill -9` under load.

use clap::{Args, ValueEnum};

use crate::proof::{self, Proof};
use crate::shell::Result;

/// How often, and on which store.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the server is killed [default: 200]
    #[arg(long)]
    cycles: Option<usize>,
    /// Only on this store; on both without
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// Run the negative control: a server that answers 202 before it commits must be found
    #[arg(long)]
    control: bool,
}

/// A kind of store.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Store {
    Postgres,
    Sqlite,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result {
    let stores = options.store.map_or(vec![Store::Sqlite, Store::Postgres], |store| vec![store]);
    let one = |store: Store| {
        Proof::switched("crash")
            .with("--store", Some(store.name()))
            .with("--cycles", options.cycles)
            .flag("--control", options.control)
    };
    proof::run("crash", &stores.into_iter().map(one).collect::<Vec<_>>())
}

/// The proof with this number of kills, and its negative control, which answers before it commits.
pub(crate) fn suite(store: Store, cycles: usize) -> Vec<Proof> {
    let one = || Proof::switched("crash").with("--store", Some(store.name()));
    vec![
        one().with("--cycles", Some(cycles)),
        one().with("--cycles", Some(8)).flag("--control", true),
    ]
}
