//! Any patch of any document.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(patches);
