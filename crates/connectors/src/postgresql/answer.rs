//! Maps PostgreSQL's SQLSTATE codes to faults (PostgreSQL documentation, appendix A).

use std::{io, time::Duration};

use tokio_postgres::{Error, SimpleQueryRow, error::DbError};

use crate::{Fault, FaultKind, said::Said, tls};

/// PostgreSQL's messages, in the form that [`Said`] matches.
const KNOWN: &[&str] = &[
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "canceling statement due to user request",
    "cannot execute ALTER ROLE in a read-only transaction",
    "cannot execute SELECT FOR UPDATE in a read-only transaction",
    "connection requires a valid client certificate",
    "could not serialize access due to concurrent update",
    "current transaction is aborted, commands ignored until end of transaction block",
    "database \"…\" does not exist",
    "database \"…\" is not currently accepting connections",
    "deadlock detected",
    "must be superuser to alter superusers",
    "no pg_hba.conf entry for host \"…\", user \"…\", database \"…\", SSL encryption",
    "no pg_hba.conf entry for host \"…\", user \"…\", database \"…\", no encryption",
    "out of memory",
    "password authentication failed for user \"…\"",
    "permission denied",
    "permission denied for database \"…\"",
    "permission denied for function pg_control_system",
    "permission denied for table pg_authid",
    "permission denied to alter role",
    "pg_hba.conf rejects connection for host \"…\", user \"…\", database \"…\", SSL encryption",
    "pg_hba.conf rejects connection for host \"…\", user \"…\", database \"…\", no encryption",
    "remaining connection slots are reserved for non-replication superuser connections",
    "remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "role \"…\" does not exist",
    "role \"…\" is not permitted to log in",
    "sorry, too many clients already",
    "terminating connection due to administrator command",
    "terminating connection due to conflict with recovery",
    "terminating connection due to idle-in-transaction timeout",
    "the database system is in recovery mode",
    "the database system is not accepting connections",
    "the database system is shutting down",
    "the database system is starting up",
    "too many connections for database \"…\"",
    "too many connections for role \"…\"",
    "tuple concurrently updated",
];

/// The codes that rekey repeats. Others are withheld: a server could send five characters of a
/// password.
const CODES: &[&str] = &[
    "08000", "08001", "08003", "08004", "08006", "08P01", "0A000", "22021", "22023", "25006",
    "25P02", "25P03", "28000", "28P01", "3D000", "40001", "40P01", "42501", "42601", "42703",
    "42704", "42883", "42P01", "53000", "53100", "53200", "53300", "53400", "54000", "54001",
    "55000", "55006", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05",
    "58000", "58030", "58P01", "XX000", "XX001", "XX002",
];

/// The beginnings of client errors whose texts repeat what the server sent.
const REPEATING: [&str; 2] = ["SCRAM error", "unknown authentication tag"];

/// The part of an answer that rekey repeats.
fn said(answer: &DbError) -> String {
    let code = CODES.iter().find(|code| **code == answer.code().code());
    let code = code.map_or("an unknown SQLSTATE".to_owned(), |code| format!("SQLSTATE {code}"));
    format!("{code}, {}", Said::of(answer.message(), KNOWN))
}

/// The fault for a broken connection; `why` is the reason if rekey closed it.
pub(super) fn broken(error: &Error, why: Option<&str>) -> Fault {
    Fault::new(FaultKind::Unreachable, why.unwrap_or("the connection to the server broke"))
        .caused_by(io::Error::other(reason(error)))
}

/// The fault for an answer that does not fit the request.
pub(super) fn unexpected() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server answered what it was not asked for")
}

/// Reads a column of an answer; `None` for NULL.
pub(super) fn column(row: &SimpleQueryRow, index: usize) -> Result<Option<&str>, Fault> {
    row.try_get(index).map_err(|_| unexpected())
}

/// Reads a column that must not be NULL.
pub(super) fn value(row: &SimpleQueryRow, index: usize) -> Result<&str, Fault> {
    column(row, index)?.ok_or_else(unexpected)
}

/// Reads a boolean column in the server's text format.
pub(super) fn is_true(row: &SimpleQueryRow, index: usize) -> Result<bool, Fault> {
    match value(row, index)? {
        "t" => Ok(true),
        "f" => Ok(false),
        _ => Err(unexpected()),
    }
}

/// The fault for a failed statement.
pub(super) fn fault(error: &Error) -> Fault {
    let Some(answer) = error.as_db_error() else { return broken(error, None) };
    let code = answer.code().code();
    let (kind, advice) = match code {
        "42501" => (
            FaultKind::NotPermitted,
            "rekey's own role may not do this: give it CREATEROLE, from PostgreSQL 16 on with \
             ADMIN OPTION on the role",
        ),
        "42704" => (FaultKind::NoAccount, "there is no such role"),
        "25006" => (
            FaultKind::Misconfigured,
            "the server is a read-only standby: give the one that accepts changes",
        ),
        "0A000" => (FaultKind::Unsupported, "the server does not support what was asked"),
        // Two transactions changed the same role at the same time.
        "XX000" | "40001" | "40P01" => {
            (FaultKind::Conflict, "the server was too busy with this role")
        }
        // The server's lock timeout or statement timeout expired.
        "55P03" | "57014" => (FaultKind::Throttled, "the server was too busy with this role"),
        code if code.starts_with("53") => (FaultKind::Throttled, "the server is out of resources"),
        code if code.starts_with("08") || code.starts_with("57") || code.starts_with("58") => {
            (FaultKind::Unreachable, "the server cannot do this at the moment")
        }
        _ => (FaultKind::Misconfigured, "the server refused"),
    };
    let mut fault = Fault::new(kind, format!("{advice} ({})", said(answer)));
    if matches!(kind, FaultKind::Conflict | FaultKind::Throttled) {
        fault.retry_after = Some(Duration::from_secs(1));
    }
    fault
}

/// The fault for a failed sign-in with rekey's own role.
pub(super) fn sign_in_fault(error: Error) -> Fault {
    if tls::certificate_error(&error).is_some() {
        return tls::fault(error);
    }
    let Some(answer) = error.as_db_error() else {
        let message = format!("the server could not be signed in to: {}", reason(&error));
        return Fault::new(sign_in_kind(&error), message).about_endpoint();
    };
    match answer.code().code() {
        "28P01" | "28000" => Fault::new(
            FaultKind::Denied,
            format!(
                "the server refused rekey's own role: check user, password and pg_hba.conf ({})",
                said(answer)
            ),
        ),
        "3D000" => Fault::new(
            FaultKind::Misconfigured,
            format!("database: it is not on the server ({})", said(answer)),
        ),
        _ => fault(&error),
    }
}

/// An authentication that the client aborted is a fault of the configuration; a broken connection
/// is not.
fn sign_in_kind(error: &Error) -> FaultKind {
    let text = error.to_string();
    let is_ours = text.starts_with("authentication error")
        || text.starts_with("unsupported authentication")
        || reason(error).contains("does not support TLS");
    if is_ours { FaultKind::Misconfigured } else { FaultKind::Unreachable }
}

fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let inner = error.to_string();
        if REPEATING.iter().any(|begin| inner.starts_with(begin)) {
            break;
        }
        if !text.ends_with(&inner) {
            text = format!("{text}: {inner}");
        }
        next = error.source();
    }
    text
}
