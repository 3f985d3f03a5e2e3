//! Direct system calls.

use std::ffi::{c_char, c_int, c_long, c_void};

macro_rules! ask {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: the caller of the interposed function is responsible for its pointers; the shim's
        // own arguments outlive the call.
        unsafe { libc::syscall($number $(, $argument)*) }
    };
}

fn small(answer: c_long) -> c_int {
    c_int::try_from(answer).unwrap_or(-1)
}

fn size(answer: c_long) -> isize {
    isize::try_from(answer).unwrap_or(-1)
}

pub(crate) fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    small(ask!(libc::SYS_openat, folder, path, flags, mode))
}

pub(crate) fn close(file: c_int) -> c_int {
    small(ask!(libc::SYS_close, file))
}

pub(crate) fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    size(ask!(libc::SYS_write, file, bytes, count))
}

pub(crate) fn pwrite(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    size(ask!(libc::SYS_pwrite64, file, bytes, count, offset))
}

pub(crate) fn ftruncate(file: c_int, length: i64) -> c_int {
    small(ask!(libc::SYS_ftruncate, file, length))
}

pub(crate) fn fsync(file: c_int) -> c_int {
    small(ask!(libc::SYS_fsync, file))
}

pub(crate) fn fdatasync(file: c_int) -> c_int {
    small(ask!(libc::SYS_fdatasync, file))
}

pub(crate) fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    small(ask!(libc::SYS_unlinkat, folder, path, flags))
}

pub(crate) fn renameat(from: *const c_char, to: *const c_char) -> c_int {
    small(ask!(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0))
}

/// Sets `errno` and returns -1, as a failed call does.
pub(crate) fn fail(why: c_int) -> c_int {
    // SAFETY: `errno` belongs to the calling thread, and exists as long as the thread does.
    unsafe { *libc::__errno_location() = why };
    -1
}

/// The offset of the next `write`; `None` if the file has no offset.
pub(crate) fn position(file: c_int) -> Option<u64> {
    u64::try_from(ask!(libc::SYS_lseek, file, 0_i64, libc::SEEK_CUR)).ok()
}

/// The flags with which a file was opened.
pub(crate) fn flags(file: c_int) -> c_int {
    small(ask!(libc::SYS_fcntl, file, libc::F_GETFL))
}

/// Writes all bytes at the file's offset; stops at the first error.
pub(crate) fn write_all(file: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = write(file, bytes.as_ptr().cast(), bytes.len());
        let Some(rest) = usize::try_from(written).ok().and_then(|count| bytes.get(count..)) else {
            return;
        };
        bytes = rest;
    }
}
