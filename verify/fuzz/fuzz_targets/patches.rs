//! Arbitrary JSON patches of arbitrary documents.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(patches);
