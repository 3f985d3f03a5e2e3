//! Arbitrary `site.yaml` files.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(site);
