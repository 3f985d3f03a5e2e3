//! Arbitrary answers of a PostgreSQL server: the connector must return an outcome or a fault, soon.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(database);
