//! The suites, in the order in which they run.

use crate::{crash, faults, fuzz, hostile, order, power, shell::Result, timing};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    Canary,
    Crash,
    Faults,
    Fuzz,
    Hostile,
    Malformed,
    Node,
    OpenSsl,
    Order,
    Power,
    PythonNewest,
    PythonOlder,
    Schemathesis,
    Store,
    Timing,
    Workspace,
}

pub(crate) const SUITES: &[Suite] = &[
    Suite::Workspace,
    Suite::OpenSsl,
    Suite::PythonNewest,
    Suite::PythonOlder,
    Suite::Node,
    Suite::Malformed,
    Suite::Schemathesis,
    Suite::Canary,
    Suite::Hostile,
    Suite::Crash,
    Suite::Power,
    Suite::Order,
    Suite::Faults,
    Suite::Store,
    Suite::Timing,
    Suite::Fuzz,
];

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Crash => "crash",
            Self::Faults => "faults",
            Self::Malformed => "malformed",
            Self::Fuzz => "fuzz",
            Self::Hostile => "hostile",
            Self::Node => "node-1.4.15",
            Self::OpenSsl => "openssl",
            Self::Order => "order",
            Self::Power => "power",
            Self::PythonNewest => "python-2.1.72",
            Self::PythonOlder => "python-1.4.2",
            Self::Schemathesis => "schemathesis",
            Self::Store => "store",
            Self::Timing => "timing",
            Self::Workspace => "workspace",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Canary => "no clear-text password in a store, log or dump",
            Self::Crash => "kill -9 under load, 200 times on each store: nothing accepted is lost",
            Self::Faults => "trouble on the wire at every moment of a write: no verdict is wrong",
            Self::Malformed => "broken and smuggled HTTP, and JSON that is none: no fault, no hang",
            Self::Fuzz => "arbitrary bytes for everything that reads: the corpus, then 10 s each",
            Self::Hostile => {
                "hostile systems, clients and networks: rekey lives on, and others are served"
            }
            Self::Node => "the official TypeScript client: v3, beta and v2024",
            Self::OpenSsl => "the documented command lines: curl, openssl and base64",
            Self::Order => {
                "races on nodes that are stopped and killed: the last accepted is in force"
            }
            Self::Power => {
                "the power goes 100 times, with what was not synced: nothing accepted is lost"
            }
            Self::PythonNewest => "the official Python client, newest",
            Self::PythonOlder => "the official Python client, older: v3, v2024, v2025 and beta",
            Self::Schemathesis => {
                "whatever the contract's description allows, and what it does not"
            }
            Self::Store => "a full disk, a store that is away: nothing accepted is lost",
            Self::Timing => "a padding that leaks is told by its time, rekey's is not: few samples",
            Self::Workspace => "cargo test, with slapd and PostgreSQL at hand",
        }
    }

    /// Why a test of everything leaves it out, if it does: it runs by name and with `--all`.
    pub(crate) fn left_out(self) -> Option<&'static str> {
        match self {
            Self::Faults | Self::Order => Some("it takes minutes"),
            Self::Fuzz => Some("building its targets takes about 10 minutes of processor time"),
            Self::Timing => Some("it needs a quiet machine, and two builds of its own"),
            Self::Canary
            | Self::Crash
            | Self::Hostile
            | Self::Malformed
            | Self::Node
            | Self::OpenSsl
            | Self::Power
            | Self::PythonNewest
            | Self::PythonOlder
            | Self::Schemathesis
            | Self::Store
            | Self::Workspace => None,
        }
    }

    /// What runs it, if it is a command of its own that starts whatever it needs.
    pub(crate) fn command(self) -> Option<fn() -> Result> {
        match self {
            Self::Faults => Some(faults::wire),
            Self::Order => Some(order::quick),
            Self::Store => Some(faults::store),
            Self::Crash => Some(crash::quick),
            Self::Hostile => Some(hostile::all),
            Self::Power => Some(power::quick),
            Self::Fuzz => Some(fuzz::quick),
            Self::Timing => Some(timing::quick),
            Self::Canary
            | Self::Malformed
            | Self::Node
            | Self::OpenSsl
            | Self::PythonNewest
            | Self::PythonOlder
            | Self::Schemathesis
            | Self::Workspace => None,
        }
    }
}
