//! The fixed corpus, run as an ordinary test, so that no past finding returns.

use std::{fs, path::Path};

use crate::{replay, targets};

/// Runs every input in the target's folder; there must be at least one.
fn all_of(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "no input for {target}");
    replay(files, run).unwrap();
}

macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            all_of(stringify!($name), targets::$name::run);
        })*
    };
}

targets!(authorization bodies ciphertext database directory lists oauth passwords patches paths quotes settings site);

/// A target that is missing here would be run by the fuzzer only.
#[test]
fn every_target_is_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut there: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "control")
        .collect();
    there.sort();
    assert_eq!(there, TARGETS);
}

/// The negative control: a panicking target must fail the test.
#[test]
#[should_panic(expected = "found")]
fn what_breaks_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "find").unwrap();
    let _ = replay([file.path()], targets::control::run);
}
