//! Tests of the shim: synced writes survive, and unsynced ones are lost.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use rekey_powerloss::undo::{Loss, undo};

/// Runs an operation in a separate process with the shim preloaded, simulates a power failure, and
/// returns the folder as it is then.
fn after(deed: &str, loss: Loss<'_>) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let (folder, journal) = (place.path().join("data"), place.path().join("journal"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&journal).unwrap();
    fs::write(folder.join("old"), vec![b'o'; 2000]).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_powerloss-deeds"))
        .arg(deed)
        .current_dir(&folder)
        .env("LD_PRELOAD", shim())
        .env("POWERLOSS_FOLDER", &folder)
        .env("POWERLOSS_JOURNAL", &journal)
        .env("POWERLOSS_FAILING", place.path().join("failing"))
        .env("REKEY_FSYNC_DELAY_MS", "100")
        .status()
        .unwrap();
    assert!(done.success(), "{deed}");
    undo(&folder, &journal, loss).unwrap();
    assert_eq!(fs::read_dir(&journal).unwrap().count(), 0);
    place
}

/// The path of the shim library, which `cargo test` alone does not build.
fn shim() -> &'static Path {
    static SHIM: LazyLock<PathBuf> = LazyLock::new(|| {
        let build = ["build", "--quiet", "--package", "powerloss-shim"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
        let here = env::current_exe().unwrap();
        here.ancestors().nth(2).unwrap().join("libpowerloss_shim.so")
    });
    assert!(SHIM.exists(), "there is no {}", SHIM.display());
    &SHIM
}

fn read(place: &tempfile::TempDir, name: &str) -> Option<String> {
    fs::read_to_string(place.path().join("data").join(name)).ok()
}

fn old() -> String {
    "o".repeat(2000)
}

#[test]
fn what_was_synced_stays() {
    let place = after("write and sync", Loss::All);
    assert_eq!(&read(&place, "old").unwrap()[699..704], "onewo");
}

#[test]
fn what_was_not_synced_vanishes() {
    assert_eq!(read(&after("write", Loss::All), "old"), Some(old()));
    assert_eq!(read(&after("shorten", Loss::All), "old"), Some(old()));
    assert_eq!(read(&after("overwrite", Loss::All), "old"), Some(old()));
    let place = after("write, sync, write", Loss::All);
    assert_eq!(&read(&place, "old").unwrap()[..6], "firsto");
}

#[test]
fn what_was_written_after_a_sync_began_is_not_synced_by_it() {
    let place = after("write while two syncs are under way", Loss::All);
    let old = read(&place, "old").unwrap();
    let at = |offset: usize| &old[offset..offset + 6];
    assert_eq!([at(0), at(512), at(1024)], ["firsto", "second", "oooooo"]);
}

#[test]
fn what_a_sync_failed_to_write_is_not_written_by_the_next_one() {
    assert_eq!(read(&after("fail to sync, sync", Loss::All), "old"), Some(old()));
    let place = after("fail to sync, write once more, sync", Loss::All);
    assert_eq!(&read(&place, "old").unwrap()[699..704], "onewo");
}

#[test]
fn a_name_stays_once_its_folder_was_synced() {
    assert_eq!(read(&after("create", Loss::All), "new"), None);
    let place = after("create and sync the folder", Loss::All);
    assert_eq!(read(&place, "new").as_deref(), Some("new"));
    assert_eq!(read(&after("remove", Loss::All), "old"), Some(old()));
    let place = after("rename over", Loss::All);
    assert_eq!(read(&place, "old"), Some(old()));
    assert_eq!(read(&place, "new").as_deref(), Some("new"));
}

#[test]
fn a_torn_write_is_torn_between_sectors() {
    // Odd sectors keep their old content.
    let mut asked = 0;
    let mut every_other = |limit: usize| {
        asked += 1;
        if asked % 2 == 0 { 0 } else { limit - 1 }
    };
    let place = after("every sector", Loss::Some(&mut every_other));
    let torn = read(&place, "old").unwrap();
    let sectors: Vec<_> = torn.as_bytes().chunks(512).map(|sector| sector[0]).collect();
    assert_eq!(sectors, b"nono");
    assert!(torn.as_bytes().chunks(512).all(|s| s.iter().all(|byte| *byte == s[0])));
}
