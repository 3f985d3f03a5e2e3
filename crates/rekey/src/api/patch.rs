//! JSON Patch (RFC 6902, contract section 1.8).

use json_patch::Patch;
use serde_json::Value;

use crate::{Error, error::BadRequest};

/// The most operations of one patch.
const MOST: usize = 200;

/// Patches a document: all of it, or an error and nothing.
pub(super) fn patched(mut document: Value, patch: &Patch) -> Result<Value, Error> {
    if patch.0.len() > MOST {
        return Err(Error::bad(
            BadRequest::Limit,
            format!("a patch may have at most {MOST} operations"),
        ));
    }
    json_patch::patch(&mut document, patch)
        .map_err(|error| Error::bad(BadRequest::Content, format!("the patch failed: {error}")))?;
    Ok(document)
}

/// The member a patch may not touch.
pub(super) fn illegal(member: &str) -> Error {
    Error::bad(BadRequest::IllegalUpdate, format!("{member} cannot be changed"))
}
