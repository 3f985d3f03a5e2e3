//! Arbitrary passwords, policies, dictionaries and names: judging must not panic, and no message
//! may contain the password.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(passwords);
