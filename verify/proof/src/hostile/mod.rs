//! Hostile connected systems, clients and networks against the real binary.
//!
//! Each case starts a rekey of its own, attacks it, and checks that the process survives, that its
//! memory stays bounded, and that every request and task ends with an error message. A case must
//! fail on a build without the bound that it tests; `REKEY_BINARY` names the build.

mod clients;
mod database;
mod directory;
mod fairness;
mod memory;
mod names;
mod relay;
mod sign_in;
mod trickle;
mod victim;

use std::{future::Future, pin::Pin, time::Instant};

use clap::Args;
use rekey_harness::Result;

/// Which cases to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs only the cases whose name contains this; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Leaves out the cases whose name contains this; may be given more than once.
    #[arg(long)]
    except: Vec<String>,
}

/// An attack under way.
type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// An attack: its name, and the function that runs it.
struct Case {
    name: &'static str,
    run: fn() -> Running,
}

/// Every attack.
const CASES: &[Case] = &[
    Case { name: "clients: idle connections", run: || Box::pin(clients::idle()) },
    Case { name: "clients: idle connections in all places", run: || Box::pin(clients::full()) },
    Case { name: "clients: slow bodies in all places", run: || Box::pin(clients::bodies()) },
    Case { name: "clients: one network", run: || Box::pin(clients::network_share()) },
    Case { name: "clients: answers that are not read", run: || Box::pin(clients::unread()) },
    Case { name: "clients: silence, slow heads and bodies", run: || Box::pin(clients::slow()) },
    Case { name: "clients: a flood of everything", run: || Box::pin(clients::flood()) },
    Case { name: "database: a 2 GiB message", run: || Box::pin(database::announces()) },
    Case {
        name: "database: a 2 GiB message at login",
        run: || Box::pin(database::announces_at_login()),
    },
    Case { name: "database: a byte a second", run: || Box::pin(database::drips()) },
    Case { name: "database: garbage", run: || Box::pin(database::garbage()) },
    Case { name: "database: SCRAM for hours", run: || Box::pin(database::iterates()) },
    Case { name: "database: endless notices", run: || Box::pin(database::notices()) },
    Case {
        name: "database: endless notices at login",
        run: || Box::pin(database::notices_at_login()),
    },
    Case { name: "database: endless parameters", run: || Box::pin(database::parameters()) },
    Case { name: "database: endless rows", run: || Box::pin(database::rows()) },
    Case { name: "database: another cluster", run: || Box::pin(database::elsewhere()) },
    Case { name: "database: hostile during a change", run: || Box::pin(database::turns()) },
    Case {
        name: "database: out of reach by egress.allow",
        run: || Box::pin(database::out_of_reach()),
    },
    Case { name: "sign-in: 20 networks flood the form", run: || Box::pin(sign_in::flooded()) },
    Case { name: "sign-in: passwords left in memory", run: || Box::pin(memory::after_sign_ins()) },
    Case { name: "sign-in: names of 12 KB", run: || Box::pin(sign_in::long_names()) },
    Case {
        name: "directory: other accounts each time",
        run: || Box::pin(directory::accumulates()),
    },
    Case { name: "directory: a 2 GiB message", run: || Box::pin(directory::announces()) },
    Case { name: "directory: an endless cookie", run: || Box::pin(directory::cookies()) },
    Case { name: "directory: 10,000 levels", run: || Box::pin(directory::deep()) },
    Case { name: "directory: a byte a second", run: || Box::pin(directory::drips()) },
    Case { name: "directory: endless entries", run: || Box::pin(directory::entries()) },
    Case { name: "directory: an entry of 100 KB", run: || Box::pin(directory::fat_entry()) },
    Case { name: "directory: garbage", run: || Box::pin(directory::garbage()) },
    Case { name: "directory: an entry of 8 MiB", run: || Box::pin(directory::large_entry()) },
    Case { name: "directory: hostile during a change", run: || Box::pin(directory::turns()) },
    Case { name: "directory: repeats the password", run: || Box::pin(directory::repeats()) },
    Case { name: "directory: an entry every 8 s", run: || Box::pin(directory::trickles()) },
    Case { name: "directory: another message id", run: || Box::pin(directory::wrong_id()) },
    Case {
        name: "fairness: aggregations of one owner",
        run: || Box::pin(fairness::aggregations_of_one_owner()),
    },
    Case {
        name: "fairness: beside a trickling source of one's own",
        run: || Box::pin(trickle::of_one_owner()),
    },
    Case {
        name: "fairness: beside trickling sources of four owners",
        run: || Box::pin(trickle::of_four_owners()),
    },
    Case { name: "fairness: a flooded source", run: || Box::pin(fairness::flooded()) },
    Case { name: "fairness: a hung source", run: || Box::pin(fairness::hung()) },
    Case { name: "names: renamed, and the name reused", run: || Box::pin(names::reused()) },
    Case { name: "names: another correlation value", run: || Box::pin(names::claimed()) },
    Case { name: "fairness: a slow source", run: || Box::pin(fairness::slow()) },
    Case {
        name: "fairness: a slow member of a group",
        run: || Box::pin(fairness::slow_member_of_a_group()),
    },
];

pub(crate) async fn run(options: Options) -> Result<()> {
    let named = |words: &[String], case: &Case| words.iter().any(|word| case.name.contains(word));
    let is_wanted = |case: &&Case| {
        (options.only.is_empty() || named(&options.only, case)) && !named(&options.except, case)
    };
    let (mut tried, mut failed) = (0_usize, Vec::new());
    for case in CASES.iter().filter(is_wanted) {
        let begun = Instant::now();
        let done = (case.run)().await;
        let seconds = begun.elapsed().as_secs();
        match done {
            Ok(()) => println!("{:<44} held      {seconds:>3} s", case.name),
            Err(error) => {
                println!("{:<44} BROKE     {seconds:>3} s: {error}", case.name);
                failed.push(case.name);
            }
        }
        tried += 1;
    }
    if tried == 0 {
        return Err("no case has such a name".into());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ").into()) }
}
