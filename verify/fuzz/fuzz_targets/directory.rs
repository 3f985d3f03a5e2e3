//! Anything an LDAP server may answer: an outcome or a fault, soon.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(directory);
