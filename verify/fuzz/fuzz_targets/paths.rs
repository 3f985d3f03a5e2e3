//! Arbitrary request targets: a normalised path is well formed, and every path is answered.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(paths);
