//! Arbitrary OAuth parameters, in query, form, multipart form and HTTP Basic.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(oauth);
