//! The machine: core dumps, swap, the store's folder, the master key, and the disk.

use std::{fs, os::unix::fs::MetadataExt};

use rekey_vault::Kek;
use rustix::{fs::statvfs, process};

use super::Report;
use crate::{config::Config, store::Place};

/// Free bytes below which the disk needs attention, and below which the store may soon fail.
const LITTLE: u64 = 1 << 30;
const TOO_LITTLE: u64 = 100 << 20;

/// Checks that core dumps are off: passwords are in memory for moments, and a dump would keep them.
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

/// Checks that no memory is written to the swap area, which would keep passwords until their blocks
/// are overwritten.
pub(super) fn swap(report: &mut Report) {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    if !has_swap(&read("/proc/swaps")) {
        report.ok("swap", "off");
    } else if is_locked(&read("/proc/self/status")) {
        report.ok("swap", "on, and rekey locks its memory, so that it is not written there");
    } else {
        report.warn("swap", "on, and rekey may not lock its memory: start it with LimitMEMLOCK=infinity (`ulimit -l unlimited`), encrypt the swap area, or switch it off");
    }
}

/// Whether a swap area is in use; the first line of `/proc/swaps` is a heading.
fn has_swap(swaps: &str) -> bool {
    swaps.lines().count() > 1
}

/// Whether a process has locked memory, by its `/proc/self/status`.
fn is_locked(status: &str) -> bool {
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    locked.is_some_and(|size| size.trim() != "0 kB")
}

/// Checks that only the owner can read or write the store's folder.
pub(super) fn folder(report: &mut Report, config: &Config) {
    let folder = &config.store.folder;
    let Ok(found) = fs::metadata(folder) else { return };
    let (mode, folder) = (found.mode() & 0o777, folder.display());
    if mode & 0o022 != 0 {
        report.fail("folder", format!("{folder} has mode {mode:04o}, so that others than its owner can replace what is in it: chmod 700 {folder}"));
    } else if mode & 0o077 != 0 {
        report.warn("folder", format!("{folder} has mode {mode:04o}, so that others than its owner can look into it: chmod 700 {folder}"));
    } else {
        report.ok("folder", format!("{folder} is its owner's alone"));
    }
}

/// Checks that the master key exists, is valid, and is readable by its owner only.
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

/// Checks the free space for the store, if it is a file on this machine.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_reports_of_swap_and_locks_is_understood() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!has_swap(heading) && !has_swap(""));
        assert!(has_swap(&format!("{heading}/dev/sda2  partition\t8388604\t0\t-2\n")));
        assert!(is_locked("VmPeak:\t  3776 kB\nVmLck:\t  2264 kB\nVmPin:\t       0 kB\n"));
        assert!(!is_locked("VmLck:\t       0 kB\nVmPin:\t  12 kB\n") && !is_locked(""));
    }
}
