//! What fuzz targets reach, and nobody else does.

use std::ffi::OsString;

use json_patch::Patch;
use serde_json::Value;

use crate::{
    config::Config,
    http::{api, serve},
    ops::apply,
    store::{Asked, Listing},
};

/// Reads a JSON body as every endpoint that takes one does.
pub fn body(bytes: &[u8]) -> Option<Value> {
    api::parse(bytes).ok()
}

/// Reads the settings from a file's text and an environment.
pub fn config(text: &str, environment: Vec<(OsString, OsString)>) -> bool {
    Config::parse("rekey.toml", text, environment).is_ok()
}

/// Reads what is asked of a collection, as every list of accounts, people and sources does.
pub fn listing(asked: &Asked) {
    let _ = Listing::of_accounts(asked);
}

/// Patches a document, both as JSON.
pub fn patched(document: Value, patch: &[u8]) -> Option<Value> {
    let patch: Patch = api::parse(patch).ok()?;
    api::patched(document, &patch).ok()
}

/// What is made of the chunks of a connection on their way to the parser of HTTP.
pub fn repaired(chunks: &[&[u8]]) -> Vec<u8> {
    serve::repaired(chunks)
}

/// Reads `site.yaml`.
pub fn site(text: &str) -> bool {
    apply::is_readable(text)
}
