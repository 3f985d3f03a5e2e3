//! Any rekey.toml, and any environment.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(settings);
