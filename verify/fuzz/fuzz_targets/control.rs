//! The negative control: panics on one word, which only coverage feedback leads to. The fuzzer must
//! find it.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(control);
