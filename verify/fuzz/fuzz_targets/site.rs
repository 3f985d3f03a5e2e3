//! Any site.yaml.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(site);
