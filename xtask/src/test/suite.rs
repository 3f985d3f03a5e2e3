//! The suites, in the order in which they run.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    Canary,
    Crash,
    Node,
    OpenSsl,
    PythonNewest,
    PythonOlder,
    Workspace,
}

pub(crate) const SUITES: &[Suite] = &[
    Suite::Workspace,
    Suite::OpenSsl,
    Suite::PythonNewest,
    Suite::PythonOlder,
    Suite::Node,
    Suite::Canary,
    Suite::Crash,
];

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Crash => "crash",
            Self::Node => "node-1.4.15",
            Self::OpenSsl => "openssl",
            Self::PythonNewest => "python-2.1.72",
            Self::PythonOlder => "python-1.4.2",
            Self::Workspace => "workspace",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Canary => "no clear-text password in a store, log or dump",
            Self::Crash => "kill -9 under load, twenty times: nothing accepted is lost",
            Self::Node => "the official TypeScript client: v3, beta and v2024",
            Self::OpenSsl => "the documented command lines: curl, openssl and base64",
            Self::PythonNewest => "the official Python client, newest",
            Self::PythonOlder => "the official Python client, older: v3, v2024, v2025 and beta",
            Self::Workspace => "cargo test, with slapd and PostgreSQL at hand",
        }
    }
}
