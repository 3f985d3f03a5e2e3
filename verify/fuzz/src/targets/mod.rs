//! The fuzz targets, one a file: each takes arbitrary bytes, and panics where rekey breaks a
//! promise.

pub mod authorization;
pub mod bodies;
pub mod ciphertext;
pub mod control;
pub mod database;
pub mod directory;
pub mod lists;
pub mod oauth;
pub mod passwords;
pub mod patches;
pub mod paths;
pub mod quotes;
pub mod settings;
pub mod site;
