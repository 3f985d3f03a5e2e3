//! The suites: the promise that each proves, how it runs, and its load on the processors.

use super::Size;
use super::end_to_end::Client;
use super::workspace::Tests;
use crate::crash::{self, Store};
use crate::proof::Proof;
use crate::shell::Result;
use crate::{faults, fuzz, hostile, order, power, timing};

pub(crate) struct Suite {
    /// The name for `--only`, which also takes the part before the slash.
    pub(crate) name: &'static str,
    /// The promise that it proves.
    pub(crate) promise: &'static str,
    /// The average load, in hundredths of a processor, as measured. The schedule runs suites in
    /// parallel by it; `cargo xtask test` prints each suite's processor time.
    pub(crate) load: u32,
    /// The reason why a plain run leaves it out; it runs by name and with `--all`.
    pub(crate) left_out: Option<&'static str>,
    pub(crate) work: Work,
}

/// The way in which a suite runs.
pub(crate) enum Work {
    /// A client, against a real binary on each kind of store.
    Client(Client),
    /// A command of its own, which builds what it needs.
    Command(fn() -> Result),
    /// Runs of `rekey-proof`.
    Proofs(fn(Size) -> Vec<Proof>),
    /// Compiled tests.
    Tests(Tests),
}

/// All suites; those that take longest start first.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "workspace/it",
        promise: "the service behaves as documented, on both stores, with real target systems",
        load: 130,
        left_out: None,
        work: Work::Tests(Tests::Named("it")),
    },
    Suite {
        name: "hostile/clients",
        promise: "hostile clients and networks do not keep others from being served",
        load: 40,
        left_out: None,
        work: Work::Proofs(|_| hostile::family("clients")),
    },
    Suite {
        name: "hostile/others",
        promise: "hostile directories, databases and floods neither stop rekey nor fill its memory",
        load: 30,
        left_out: None,
        work: Work::Proofs(|_| hostile::others(&["fairness", "clients"])),
    },
    Suite {
        name: "workspace/conformance",
        promise: "every connector behaves alike, on real systems",
        load: 20,
        left_out: None,
        work: Work::Tests(Tests::Named("conformance")),
    },
    Suite {
        name: "hostile/fairness",
        promise: "a slow, hung or flooded system does not slow down the others",
        // It compares response times, so little may run beside it.
        load: 130,
        left_out: None,
        work: Work::Proofs(|_| hostile::family("fairness")),
    },
    Suite {
        name: "crash/sqlite",
        promise: "nothing accepted is lost to kill -9 under load, on SQLite",
        load: 90,
        left_out: None,
        work: Work::Proofs(|size| crash::suite(Store::Sqlite, size.pick(60, 200))),
    },
    Suite {
        name: "crash/postgres",
        promise: "nothing accepted is lost to kill -9 under load, on PostgreSQL",
        load: 90,
        left_out: None,
        work: Work::Proofs(|size| crash::suite(Store::Postgres, size.pick(60, 200))),
    },
    Suite {
        name: "power/lost",
        promise: "nothing accepted is lost when the power fails",
        load: 30,
        left_out: None,
        work: Work::Proofs(|size| power::suite(size.pick(50, 100))),
    },
    Suite {
        name: "power/failing-syncs",
        promise: "nothing accepted is lost when syncs fail before the power does",
        load: 30,
        left_out: None,
        work: Work::Proofs(|size| power::failing_syncs(size.pick(24, 40))),
    },
    Suite {
        name: "store/sqlite",
        promise: "nothing accepted is lost to a full, read-only or failing disk",
        load: 100,
        left_out: None,
        work: Work::Proofs(|_| faults::store("sqlite")),
    },
    Suite {
        name: "store/postgres",
        promise: "nothing accepted is lost when PostgreSQL stops, or ends its sessions",
        load: 100,
        left_out: None,
        work: Work::Proofs(|_| faults::store("postgres")),
    },
    Suite {
        name: "store/control",
        promise: "a server that answers before it commits is found on a full disk",
        load: 50,
        left_out: None,
        work: Work::Proofs(|_| faults::store_control()),
    },
    Suite {
        name: "workspace/seeds",
        promise: "2,000 simulated histories keep every promise; wrong pipelines are found",
        load: 200,
        left_out: None,
        work: Work::Tests(Tests::Named("seeds")),
    },
    Suite {
        name: "schemathesis",
        promise: "no request that the contract describes, or forbids, causes a fault",
        load: 130,
        left_out: None,
        work: Work::Client(Client::Schemathesis),
    },
    Suite {
        name: "canary",
        promise: "no clear-text password is in a store, log, dump or in memory",
        load: 50,
        left_out: None,
        work: Work::Client(Client::Canary),
    },
    Suite {
        name: "malformed",
        promise: "broken and smuggled HTTP, and broken JSON, cause no fault and no hang",
        load: 20,
        left_out: None,
        work: Work::Client(Client::Malformed),
    },
    Suite {
        name: "node-1.4.15",
        promise: "the official TypeScript client works unchanged: v3, beta and v2024",
        load: 40,
        left_out: None,
        work: Work::Client(Client::Node),
    },
    Suite {
        name: "python-2.1.72",
        promise: "the newest official Python client works unchanged",
        load: 30,
        left_out: None,
        work: Work::Client(Client::PythonNewest),
    },
    Suite {
        name: "python-1.4.2",
        promise: "an older Python client works unchanged: v3, v2024, v2025 and beta",
        load: 40,
        left_out: None,
        work: Work::Client(Client::PythonOlder),
    },
    Suite {
        name: "openssl",
        promise: "the documented command lines work: curl, openssl and base64",
        load: 50,
        left_out: None,
        work: Work::Client(Client::OpenSsl),
    },
    Suite {
        name: "workspace/units",
        promise: "every other test of the workspace passes, the corpus of the fuzzer among them",
        load: 60,
        left_out: None,
        work: Work::Tests(Tests::Others(&["it", "seeds", "conformance"])),
    },
    Suite {
        name: "order",
        promise: "the last accepted password is in force after races on nodes that stop and die",
        load: 150,
        left_out: Some("it takes minutes"),
        work: Work::Proofs(|_| order::suite()),
    },
    Suite {
        name: "faults",
        promise: "no status is wrong whatever happens on the wire, at every moment of a write",
        load: 100,
        left_out: Some("it takes minutes"),
        work: Work::Proofs(|_| faults::wire()),
    },
    Suite {
        name: "timing",
        promise: "response times reveal no padding; a padding that leaks is found",
        load: ALONE,
        left_out: Some("it needs a quiet machine, and two builds of its own"),
        work: Work::Command(timing::quick),
    },
    Suite {
        name: "fuzz",
        promise: "arbitrary bytes break no parser: the corpus, then 10 s of each target",
        load: ALONE,
        left_out: Some("its targets take about 10 minutes of processor time to build"),
        work: Work::Command(fuzz::quick),
    },
];

/// More than any machine has, so that no other suite runs beside it.
const ALONE: u32 = 100_000;

impl Suite {
    /// Whether `--only` with this word selects this suite.
    pub(crate) fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.name.split_once('/').is_some_and(|(group, _)| group == word)
    }

    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        let suite = SUITES.iter().find(|suite| suite.name == name);
        suite.ok_or_else(|| {
            format!("there is no suite {name:?}; `cargo xtask test --list` lists them")
        })
    }
}
