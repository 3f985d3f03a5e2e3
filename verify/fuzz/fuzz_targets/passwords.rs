//! Any password, policy, dictionary and names: judged, and no sentence holds the password.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(passwords);
