//! Keeps this process's memory, which holds passwords for moments, out of files and debuggers.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// No core dumps, no attaching by others of the same user, and no swapping. Best effort: where the system
/// refuses, it goes on as before.
pub(super) fn process() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    lock_memory();
}

/// Keeps what is in memory out of swap, page by page as it comes into use. Only where no limit is
/// set: beyond a limit, locked memory could not grow, and an allocation would end the process.
fn lock_memory() {
    let unlimited = getrlimit(Resource::Memlock).maximum.is_none();
    if unlimited && setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}
