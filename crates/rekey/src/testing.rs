//! The entry points of the fuzz targets, and of nothing else.

use std::ffi::OsString;

use json_patch::Patch;
use serde_json::Value;

use crate::{
    config::Config,
    http::{api, serve},
    ops::apply,
    store::{Asked, Listing},
};

/// Parses a JSON body as every endpoint with one does.
pub fn body(bytes: &[u8]) -> Option<Value> {
    api::parse(bytes).ok()
}

/// Parses the settings from a file's text and an environment. Returns whether they are valid.
pub fn config(text: &str, environment: Vec<(OsString, OsString)>) -> bool {
    Config::parse("rekey.toml", text, environment).is_ok()
}

/// Parses the query of a collection, as the lists of accounts, people and sources do.
pub fn listing(asked: &Asked) {
    let _ = Listing::of_accounts(asked);
}

/// Applies a JSON Patch to a JSON document.
pub fn patched(document: Value, patch: &[u8]) -> Option<Value> {
    let patch: Patch = api::parse(patch).ok()?;
    api::patched(document, &patch).ok()
}

/// The bytes that hyper would get from a connection that sends these chunks.
pub fn repaired(chunks: &[&[u8]]) -> Vec<u8> {
    serve::repaired(chunks)
}

/// Parses a site file. Returns whether it is valid.
pub fn site(text: &str) -> bool {
    apply::is_readable(text)
}
