//! Arbitrary bodies, at every endpoint that takes one: no answer may be a 500.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(bodies);
