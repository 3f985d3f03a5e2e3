//! Any target of a request: the path's normal form is its own normal form, and every path is
//! answered.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(paths);
