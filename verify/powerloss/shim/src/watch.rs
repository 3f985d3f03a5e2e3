//! Which files are watched, and what is written down of them.

use std::{
    collections::HashMap,
    env,
    ffi::{CStr, CString, OsStr, c_char, c_int},
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
        io::{BorrowedFd, RawFd},
    },
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rekey_powerloss::journal::{Entry, SECTOR, left_by_sync, read, write};

use crate::kernel;

/// The number of the file behind each descriptor that is watched; 0 for the others.
static WATCHED: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

/// What the environment says.
struct Places {
    folder: PathBuf,
    journal: PathBuf,
    /// While this file is there, syncs fail.
    failing: Option<PathBuf>,
}

static PLACES: LazyLock<Option<Places>> = LazyLock::new(|| {
    Some(Places {
        folder: env::var_os("POWERLOSS_FOLDER")?.into(),
        journal: env::var_os("POWERLOSS_JOURNAL")?.into(),
        failing: env::var_os("POWERLOSS_FAILING").map(PathBuf::from),
    })
});

/// The journals that are open, by the number of the file they are about.
#[derive(Default)]
pub(crate) struct Journals {
    open: HashMap<u64, RawFd>,
    forgotten: HashMap<u64, Forgotten>,
    /// How often a sync of each file has failed.
    failures: HashMap<u64, u64>,
    /// How many of these each descriptor has told.
    told: HashMap<c_int, u64>,
    kept: u64,
}

/// How much of what was ever written down of a file a sync has dealt with: several may be under way
/// at once, and end in any order.
#[derive(Clone, Copy, Default)]
struct Forgotten {
    /// All up to here, in bytes since the process began.
    upto: u64,
    /// How much of that is still in the journal, at its beginning.
    left: u64,
}

/// One change at a time is written down and made.
pub(crate) fn journals() -> MutexGuard<'static, Journals> {
    static JOURNALS: LazyLock<Mutex<Journals>> = LazyLock::new(Mutex::default);
    JOURNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the file behind a descriptor, if it is watched.
pub(crate) fn watched(file: c_int) -> Option<u64> {
    let slot = usize::try_from(file).ok().and_then(|at| WATCHED.get(at))?;
    Some(slot.load(Ordering::Acquire)).filter(|number| *number != 0)
}

/// Watches a descriptor from now on, or no longer.
pub(crate) fn watch(file: c_int, number: u64) {
    if let Some(slot) = usize::try_from(file).ok().and_then(|at| WATCHED.get(at)) {
        slot.store(number, Ordering::Release);
    }
}

/// The whole path, if it is watched.
pub(crate) fn path_of(folder: c_int, path: *const c_char) -> Option<PathBuf> {
    let places = PLACES.as_ref()?;
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller of the function that was preloaded gave a path.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let whole = if path.is_absolute() {
        path.to_owned()
    } else if folder == libc::AT_FDCWD {
        env::current_dir().ok()?.join(path)
    } else {
        fs::read_link(format!("/proc/self/fd/{folder}")).ok()?.join(path)
    };
    whole.starts_with(&places.folder).then_some(whole)
}

/// Whether syncs of watched files are to fail now.
pub(crate) fn is_failing() -> bool {
    let failing = PLACES.as_ref().and_then(|places| places.failing.as_ref());
    failing.is_some_and(|file| file.exists())
}

/// A file's number and length.
pub(crate) fn number_and_length(file: c_int) -> Option<(u64, u64)> {
    let about = fs::metadata(format!("/proc/self/fd/{file}")).ok()?;
    Some((about.ino(), about.len()))
}

impl Journals {
    /// A name is about to be made.
    pub(crate) fn creating(&mut self, path: &Path) {
        self.keep_of_folder(path, &Entry::Created { path: path.as_os_str().as_bytes().to_vec() });
    }

    /// A name is about to be taken away, if there is such a file.
    pub(crate) fn removing(&mut self, path: &Path) {
        let Some(places) = PLACES.as_ref() else { return };
        self.kept += 1;
        let kept = places.journal.join(format!("kept-{}-{}", std::process::id(), self.kept));
        if fs::hard_link(path, &kept).is_ok() {
            let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
            let entry = Entry::Removed { path: bytes(path), kept: bytes(&kept) };
            self.keep_of_folder(path, &entry);
        }
    }

    /// A file is new: what an earlier one of its number had to undo is not its own.
    pub(crate) fn is_new(&mut self, number: u64) {
        let upto = self.length(number);
        self.forgotten.insert(number, Forgotten { upto, left: 0 });
        if let Some(journal) = self.journal(number) {
            kernel::ftruncate(journal, 0);
        }
    }

    /// A descriptor is new: it tells only of what fails from now on.
    pub(crate) fn opened(&mut self, number: u64, file: c_int) {
        let failures = self.failures.get(&number).copied().unwrap_or(0);
        self.told.insert(file, failures);
    }

    /// Whether a sync of a file by this descriptor fails: Linux tells each descriptor once.
    pub(crate) fn tells(&mut self, number: u64, file: c_int) -> bool {
        let failures = self.failures.get(&number).copied().unwrap_or(0);
        self.told.insert(file, failures).unwrap_or(0) < failures
    }

    /// Whether anything of a file was changed since a sync of it began or failed.
    pub(crate) fn is_dirty(&mut self, number: u64) -> bool {
        let written = self.written(number);
        let entries = read(&written);
        entries.last().is_some_and(|last| *last != Entry::Failed)
    }

    /// A file could not be synced.
    pub(crate) fn failed(&mut self, number: u64) {
        *self.failures.entry(number).or_default() += 1;
        let mut entry = Vec::new();
        write(&Entry::Failed, &mut entry);
        self.append(number, &entry);
    }

    /// Bytes are about to be written.
    pub(crate) fn writing(&mut self, number: u64, file: c_int, offset: u64, count: usize) {
        let Some((_, length)) = number_and_length(file) else { return };
        let end = offset + count as u64;
        let mut entries = Vec::new();
        if end > length {
            write(&Entry::Resized { length }, &mut entries);
        }
        sectors(file, offset, end, &mut entries);
        self.append(number, &entries);
    }

    /// A file is about to get another length.
    pub(crate) fn resizing(&mut self, number: u64, file: c_int, to: u64) {
        let Some((_, length)) = number_and_length(file) else { return };
        let mut entries = Vec::new();
        write(&Entry::Resized { length }, &mut entries);
        sectors(file, to, length, &mut entries);
        self.append(number, &entries);
    }

    /// How much was ever written down of a file, in bytes.
    pub(crate) fn length(&mut self, number: u64) -> u64 {
        let Forgotten { upto, left } = self.forgotten(number);
        self.size(number).saturating_sub(left) + upto
    }

    /// A file is synced: the first `length` bytes ever written down of it need not be undone, but for
    /// what an earlier sync has failed to write.
    pub(crate) fn forget(&mut self, number: u64, length: u64) {
        let Forgotten { upto, left } = self.forgotten(number);
        let Some(newer) = length.checked_sub(upto).filter(|newer| *newer > 0) else { return };
        let Some(journal) = self.journal(number) else { return };
        let whole = self.written(number);
        let synced = usize::try_from(left + newer).unwrap_or(usize::MAX).min(whole.len());
        let (synced, rest) = whole.split_at(synced);
        let mut kept = Vec::new();
        for entry in left_by_sync(read(synced)) {
            write(&entry, &mut kept);
        }
        self.forgotten.insert(number, Forgotten { upto: length, left: kept.len() as u64 });
        kept.extend_from_slice(rest);
        kernel::ftruncate(journal, 0);
        kernel::write_all(journal, &kept);
    }

    fn forgotten(&self, number: u64) -> Forgotten {
        self.forgotten.get(&number).copied().unwrap_or_default()
    }

    /// What is in the journal of a file.
    fn written(&mut self, number: u64) -> Vec<u8> {
        let mut whole = vec![0; usize::try_from(self.size(number)).unwrap_or(0)];
        let Some(journal) = self.journal(number) else { return Vec::new() };
        // SAFETY: the journal's descriptor stays open as long as the process lives.
        let file = unsafe { BorrowedFd::borrow_raw(journal) }.try_clone_to_owned();
        let is_read = file.map(|file| fs::File::from(file).read_exact_at(&mut whole, 0));
        if matches!(is_read, Ok(Ok(()))) { whole } else { Vec::new() }
    }

    /// How long the journal of a file is.
    fn size(&mut self, number: u64) -> u64 {
        self.journal(number).and_then(number_and_length).map_or(0, |(_, length)| length)
    }

    fn keep_of_folder(&mut self, path: &Path, entry: &Entry) {
        let Some(folder) = path.parent().and_then(|folder| fs::metadata(folder).ok()) else {
            return;
        };
        let mut bytes = Vec::new();
        write(entry, &mut bytes);
        self.append(folder.ino(), &bytes);
    }

    fn append(&mut self, number: u64, entries: &[u8]) {
        if let Some(journal) = self.journal(number) {
            kernel::write_all(journal, entries);
        }
    }

    fn journal(&mut self, number: u64) -> Option<RawFd> {
        if let Some(open) = self.open.get(&number) {
            return Some(*open);
        }
        let path = PLACES.as_ref()?.journal.join(number.to_string());
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        let open = kernel::openat(libc::AT_FDCWD, path.as_ptr(), flags, 0o600);
        (open >= 0).then(|| {
            self.open.insert(number, open);
            open
        })
    }
}

/// What is in the sectors that hold the bytes from `from` to `to`.
fn sectors(file: c_int, from: u64, to: u64, entries: &mut Vec<u8>) {
    // The program may have opened it for writing only.
    let Ok(file) = fs::File::open(format!("/proc/self/fd/{file}")) else { return };
    let size = SECTOR as u64;
    let mut offset = from / size * size;
    let mut buffer = [0; SECTOR];
    while offset < to {
        let there = file.read_at(&mut buffer, offset).unwrap_or(0);
        let bytes = buffer.get(..there).unwrap_or_default().to_vec();
        write(&Entry::Sector { offset, bytes }, entries);
        offset += size;
    }
}
