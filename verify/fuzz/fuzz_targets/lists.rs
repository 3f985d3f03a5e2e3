//! Any filter, sorter and page, at every list: understood or a 400.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(lists);
