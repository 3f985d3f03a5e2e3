//! Arbitrary bytes of a connection: the result does not depend on how they are split, and nothing
//! but quotes is changed.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(quotes);
