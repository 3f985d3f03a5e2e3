//! Any bytes of a connection: how they arrive in pieces changes nothing, and nothing but quotes is
//! touched.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(quotes);
