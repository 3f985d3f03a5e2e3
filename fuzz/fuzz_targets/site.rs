//! Any site.yaml.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    rekey::fuzz::site(text);
});
