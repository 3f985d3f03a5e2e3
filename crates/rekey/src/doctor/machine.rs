//! The machine: core dumps, the master key's file, the disk.

use rekey_vault::Kek;
use rustix::{fs::statvfs, process};

use super::Report;
use crate::{config::Config, store::Place};

/// Free bytes below which something should be done, and below which a store soon stands still.
const LITTLE: u64 = 1 << 30;
const TOO_LITTLE: u64 = 100 << 20;

/// Passwords are in memory for moments: a core dump would keep them.
pub(super) fn core_dumps(report: &mut Report) {
    let limit = process::getrlimit(process::Resource::Core).current;
    let off = process::dumpable_behavior() == Ok(process::DumpableBehavior::NotDumpable);
    if limit == Some(0) && off {
        report.ok("core dumps", "off, and nobody else of this user can look into the process");
    } else {
        report.warn(
            "core dumps",
            "this system does not let rekey switch them off: set `ulimit -c 0` where it is started",
        );
    }
}

/// Whether it is there, is one, and is its owner's alone.
pub(super) fn master_key(report: &mut Report, config: &Config) {
    let file = config.master_key_file();
    if !file.exists() {
        let file = file.display();
        report.fail("master key", format!("there is no {file}: put it back from its backup, or, before the first start, run `rekey init`"));
        return;
    }
    match Kek::load(&file) {
        Ok(_) => report.ok("master key", format!("{} is its owner's alone", file.display())),
        Err(error) => report.fail("master key", error.to_string()),
    }
}

/// Room for the store, if it is a file here.
pub(super) fn disk(report: &mut Report, config: &Config) {
    let Ok(Ok(Place::File(file))) = config.store_url().map(|url| Place::parse(&url)) else {
        return;
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let Ok(found) = statvfs(folder) else { return };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let words = format!("{} MiB are free in {}", free >> 20, folder.display());
    if free < TOO_LITTLE {
        report.fail("disk", format!("{words}: make room, or rekey soon accepts nothing"));
    } else if free < LITTLE {
        report.warn("disk", format!("{words}: make room before it is too little"));
    } else {
        report.ok("disk", words);
    }
}
