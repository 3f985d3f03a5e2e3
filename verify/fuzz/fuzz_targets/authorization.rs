//! Any Authorization header, cookie-like nonsense and token: 401, never anything else.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(authorization);
