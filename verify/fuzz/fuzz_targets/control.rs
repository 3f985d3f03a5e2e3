//! The control: breaks on one word, to which only the ways the code takes lead. The fuzzer must find
//! it.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(control);
