//! What PostgreSQL's SQLSTATE codes mean (PostgreSQL documentation, appendix A).

use std::time::Duration;

use tokio_postgres::{Error, SimpleQueryRow};

use crate::{Fault, FaultKind, scrub::plain, tls};

/// The fault of a connection that broke, `why` if rekey ended it.
pub(super) fn broken(error: Error, why: Option<&str>) -> Fault {
    Fault::new(FaultKind::Unreachable, why.unwrap_or("the connection to the server broke"))
        .caused_by(error)
}

/// The fault of an answer that is none to what was asked.
pub(super) fn unexpected() -> Fault {
    Fault::new(FaultKind::Unreachable, "the server answered what it was not asked for")
}

/// A column of an answer; `None` for NULL.
pub(super) fn column(row: &SimpleQueryRow, index: usize) -> Result<Option<&str>, Fault> {
    row.try_get(index).map_err(|_| unexpected())
}

/// A column that has a value.
pub(super) fn value(row: &SimpleQueryRow, index: usize) -> Result<&str, Fault> {
    column(row, index)?.ok_or_else(unexpected)
}

/// A column with a truth value, as the server writes it.
pub(super) fn is_true(row: &SimpleQueryRow, index: usize) -> Result<bool, Fault> {
    match value(row, index)? {
        "t" => Ok(true),
        "f" => Ok(false),
        _ => Err(unexpected()),
    }
}

/// The fault of a statement that failed.
pub(super) fn fault(error: Error) -> Fault {
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
        // Two transactions changed the same role at once.
        "XX000" | "40001" | "40P01" => {
            (FaultKind::Conflict, "the server was too busy with this role")
        }
        // A lock or the server's own time limit ran out.
        "55P03" | "57014" => (FaultKind::Throttled, "the server was too busy with this role"),
        code if code.starts_with("53") => (FaultKind::Throttled, "the server is out of resources"),
        code if code.starts_with("08") || code.starts_with("57") || code.starts_with("58") => {
            (FaultKind::Unreachable, "the server cannot do this at the moment")
        }
        _ => (FaultKind::Misconfigured, "the server refused"),
    };
    let mut fault =
        Fault::new(kind, format!("{advice} ({}, SQLSTATE {code})", plain(answer.message())));
    if matches!(kind, FaultKind::Conflict | FaultKind::Throttled) {
        fault.retry_after = Some(Duration::from_secs(1));
    }
    fault.caused_by(error)
}

/// The fault of a sign-in with rekey's own role that failed.
pub(super) fn sign_in_fault(error: Error) -> Fault {
    if tls::certificate_error(&error).is_some() {
        return tls::fault(error);
    }
    let Some(answer) = error.as_db_error() else {
        let message = format!("the server could not be signed in to: {}", reason(&error));
        return Fault::new(sign_in_kind(&error), message).caused_by(error).about_endpoint();
    };
    let text = plain(answer.message());
    match answer.code().code() {
        "28P01" | "28000" => Fault::new(
            FaultKind::Denied,
            format!(
                "the server refused rekey's own role: check user, password and pg_hba.conf ({text})"
            ),
        )
        .caused_by(error),
        "3D000" => Fault::new(
            FaultKind::Misconfigured,
            format!("database: it is not on the server ({text})"),
        )
        .caused_by(error),
        _ => fault(error),
    }
}

/// An authentication that this side broke off is a matter of configuration; a connection that
/// broke is not.
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
        if !text.ends_with(&inner) {
            text = format!("{text}: {inner}");
        }
        next = error.source();
    }
    plain(&text)
}
