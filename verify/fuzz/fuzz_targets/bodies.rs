//! Any body, at every endpoint that takes one: no answer is a 500, and none takes long.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(bodies);
