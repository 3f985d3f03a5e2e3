//! Arbitrary filters, sorters and pages, at every list: no answer may be a 500.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(lists);
