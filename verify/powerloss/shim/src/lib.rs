//! Preloaded into a program (`LD_PRELOAD`), keeps a journal of what it has not synced.
//!
//! - `POWERLOSS_FOLDER`: files in and below this folder are watched; an absolute path.
//! - `POWERLOSS_JOURNAL`: the folder of the journal, on the same file system and not below it.
//! - `POWERLOSS_FAILING`: while there is a file of this name, nothing of a watched file can be
//!   written to the disk. As on Linux, a sync says so (`EIO`) once by each descriptor of the file;
//!   then what it should have written counts as written, until it is written once more.
//! - `REKEY_FSYNC_DELAY_MS`: every sync of any file takes so much longer, watched or not.
//!
//! What SQLite and Rust's standard library call is watched: `open`, `write`, `pwrite`, `ftruncate`,
//! `fsync`, `fdatasync`, `unlink`, `rename`. Mapped memory is not: SQLite maps only its index of
//! the write-ahead log, which is rebuilt.
//!
//! Everything here asks the kernel directly, since libc's own functions are what it stands before.
#![expect(unsafe_code, reason = "it stands between a program and libc")]

mod calls;
mod kernel;
mod watch;
