//! Arbitrary Authorization headers and tokens must get a 401, and nothing else.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(authorization);
