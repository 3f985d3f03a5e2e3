//! Arbitrary `rekey.toml` files and environments.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(settings);
