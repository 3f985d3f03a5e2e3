//! Keeps this process's memory, which holds passwords for moments, out of files and debuggers.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Disables core dumps, debugging by other processes of the same user, and swapping. Best effort:
/// where the system refuses one of them, the process goes on without it.
pub(super) fn process() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    lock_memory();
}

/// Locks pages into memory as they are first used (`ONFAULT`), so that none is swapped out. Only
/// without a limit on locked memory: at a limit, an allocation would fail and end the process.
fn lock_memory() {
    let unlimited = getrlimit(Resource::Memlock).maximum.is_none();
    if unlimited && setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}
