//! A library that is preloaded into a program (`LD_PRELOAD`) and keeps a journal of its unsynced
//! writes.
//!
//! - `POWERLOSS_FOLDER`: the absolute path of a folder; files in and below it are watched.
//! - `POWERLOSS_JOURNAL`: the folder of the journal, on the same file system and not below the
//!   watched one.
//! - `POWERLOSS_FAILING`: while a file with this name exists, no data of a watched file can be
//!   written to the disk. As on Linux, each descriptor of the file reports that once by a failed
//!   sync (`EIO`); then the lost data counts as written, until it is written again.
//! - `REKEY_FSYNC_DELAY_MS`: every sync of any file takes this much longer, watched or not.
//!
//! The calls of SQLite and Rust's standard library are interposed: `open`, `write`, `pwrite`,
//! `ftruncate`, `fsync`, `fdatasync`, `unlink`, `rename`. Mapped memory is not watched: SQLite maps
//! only its index of the write-ahead log, which can be rebuilt.
//!
//! The shim makes system calls directly, since it replaces libc's own functions.
#![expect(unsafe_code, reason = "it stands between a program and libc")]

mod calls;
mod kernel;
mod watch;
