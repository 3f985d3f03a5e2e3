//! The libc functions that the shim interposes.

use std::{
    env,
    ffi::{c_char, c_int, c_void},
    sync::LazyLock,
    thread,
    time::Duration,
};

use crate::{
    kernel,
    watch::{is_failing, journals, number_and_length, path_of, watch, watched},
};

/// `mode` is defined only if `flags` require it; otherwise the kernel ignores it.
fn open_any(folder: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    let Some(whole) = path_of(folder, path) else {
        return kernel::openat(folder, path, flags, mode);
    };
    let mut journals = journals();
    let is_new = flags & libc::O_CREAT != 0 && !whole.exists();
    if is_new {
        journals.creating(&whole);
    }
    let file = kernel::openat(folder, path, flags & !libc::O_TRUNC, mode);
    let Some((number, _)) = number_and_length(file).filter(|_| file >= 0) else { return file };
    if is_new {
        journals.is_new(number);
    } else if flags & libc::O_TRUNC != 0 {
        journals.resizing(number, file, 0);
        kernel::ftruncate(file, 0);
    }
    watch(file, number);
    journals.opened(number, file);
    file
}

#[unsafe(no_mangle)]
extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    open_any(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    open_any(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    open_any(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    open_any(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn close(file: c_int) -> c_int {
    watch(file, 0);
    kernel::close(file)
}

#[unsafe(no_mangle)]
extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    let Some(number) = watched(file) else { return kernel::write(file, bytes, count) };
    let mut journals = journals();
    let at_the_end = kernel::flags(file) & libc::O_APPEND != 0;
    let offset = if at_the_end {
        number_and_length(file).map(|(_, length)| length)
    } else {
        kernel::position(file)
    };
    if let Some(offset) = offset {
        journals.writing(number, file, offset, count);
    }
    kernel::write(file, bytes, count)
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    let Some(number) = watched(file) else {
        return kernel::pwrite(file, bytes, count, offset);
    };
    let mut journals = journals();
    if let Ok(offset) = u64::try_from(offset) {
        journals.writing(number, file, offset, count);
    }
    kernel::pwrite(file, bytes, count, offset)
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    pwrite(file, bytes, count, offset)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(file: c_int, length: i64) -> c_int {
    let Some(number) = watched(file) else { return kernel::ftruncate(file, length) };
    let mut journals = journals();
    if let Ok(length) = u64::try_from(length) {
        journals.resizing(number, file, length);
    }
    kernel::ftruncate(file, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, length: i64) -> c_int {
    ftruncate(file, length)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, kernel::fsync)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, kernel::fdatasync)
}

/// A successful sync drops the journal entries that were written before it began.
fn sync(file: c_int, how: fn(c_int) -> c_int) -> c_int {
    static DELAY: LazyLock<Duration> = LazyLock::new(|| {
        let text = env::var("REKEY_FSYNC_DELAY_MS").ok();
        Duration::from_millis(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    });
    let before = watched(file).map(|number| (number, journals().length(number)));
    if let Some((number, _)) = before {
        let mut journals = journals();
        // A sync with nothing left to write cannot fail.
        let fails = is_failing() && journals.is_dirty(number);
        if fails {
            journals.failed(number);
        }
        if journals.tells(number, file) {
            return kernel::fail(libc::EIO);
        }
    }
    let done = how(file);
    if !DELAY.is_zero() {
        thread::sleep(*DELAY);
    }
    if let Some((number, length)) = before.filter(|_| done == 0) {
        journals().forget(number, length);
    }
    done
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    unlinkat(libc::AT_FDCWD, path, 0)
}

#[unsafe(no_mangle)]
extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let Some(whole) = path_of(folder, path) else { return kernel::unlinkat(folder, path, flags) };
    let mut journals = journals();
    journals.removing(&whole);
    kernel::unlinkat(folder, path, flags)
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let whole = [from, to].map(|path| path_of(libc::AT_FDCWD, path));
    let [Some(old), Some(new)] = whole else { return kernel::renameat(from, to) };
    let mut journals = journals();
    journals.removing(&new);
    journals.removing(&old);
    journals.creating(&new);
    kernel::renameat(from, to)
}
