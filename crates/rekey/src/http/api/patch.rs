//! JSON Patch (RFC 6902, docs/contract.md#json-patch).

use std::{io, slice};

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::body::{DEPTH, depth};
use crate::{Error, error::BadRequest};

/// The most operations of one patch.
const MOST: usize = 200;
/// The largest document at any step, in bytes: a patch that copies copies would grow it
/// exponentially.
const LARGEST: usize = 256 * 1024;

/// Applies all operations of a patch to a document, or returns an error.
pub(crate) fn patched(mut document: Value, patch: &Patch) -> Result<Value, Error> {
    if patch.0.len() > MOST {
        return Err(limit(format!("a patch may have at most {MOST} operations")));
    }
    let mut now = size(&document);
    for operation in &patch.0 {
        let more = match operation {
            PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()).map_or(0, size),
            PatchOperation::Add(_)
            | PatchOperation::Move(_)
            | PatchOperation::Remove(_)
            | PatchOperation::Replace(_)
            | PatchOperation::Test(_) => 0,
        };
        check_size(now + more)?;
        json_patch::patch(&mut document, slice::from_ref(operation)).map_err(|error| {
            Error::bad(BadRequest::Content, format!("the patch failed: {error}"))
        })?;
        now = size(&document);
        check_size(now)?;
    }
    if depth(document.to_string().as_bytes()) > DEPTH {
        return Err(limit(format!("the patched document is nested deeper than {DEPTH} levels")));
    }
    Ok(document)
}

/// The error for a patch of a member that cannot be changed.
pub(super) fn illegal(member: &str) -> Error {
    Error::bad(BadRequest::IllegalUpdate, format!("{member} cannot be changed"))
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > LARGEST {
        return Err(limit(format!("the patched document is larger than {LARGEST} bytes")));
    }
    Ok(())
}

fn limit(text: String) -> Error {
    Error::bad(BadRequest::Limit, text)
}

/// The length of the value as JSON, in bytes, without building the text.
fn size(value: &Value) -> usize {
    let mut counted = Counted(0);
    // Neither serializing a `Value` nor counting bytes can fail.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

/// A writer that only counts bytes.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
