//! The watched files, and their journals.

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

/// The inode number of the file behind each watched descriptor; 0 for other descriptors.
static WATCHED: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

/// The paths from the environment.
struct Places {
    folder: PathBuf,
    journal: PathBuf,
    /// Syncs fail while this file exists.
    failing: Option<PathBuf>,
}

static PLACES: LazyLock<Option<Places>> = LazyLock::new(|| {
    Some(Places {
        folder: env::var_os("POWERLOSS_FOLDER")?.into(),
        journal: env::var_os("POWERLOSS_JOURNAL")?.into(),
        failing: env::var_os("POWERLOSS_FAILING").map(PathBuf::from),
    })
});

/// The open journals, by the inode number of the file.
#[derive(Default)]
pub(crate) struct Journals {
    open: HashMap<u64, RawFd>,
    forgotten: HashMap<u64, Forgotten>,
    /// The number of failed syncs of each file.
    failures: HashMap<u64, u64>,
    /// The number of a file's failures that each descriptor has reported.
    told: HashMap<c_int, u64>,
    kept: u64,
}

/// The part of a file's journal that syncs have covered. Several syncs may be under way at once,
/// and end in any order, so the position only grows.
#[derive(Clone, Copy, Default)]
struct Forgotten {
    /// The covered bytes, counted since the process began.
    upto: u64,
    /// The covered bytes that are still at the beginning of the journal.
    left: u64,
}

/// Locks the journals: each change is recorded and made under this lock, one at a time.
pub(crate) fn journals() -> MutexGuard<'static, Journals> {
    static JOURNALS: LazyLock<Mutex<Journals>> = LazyLock::new(Mutex::default);
    JOURNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The inode number of the file behind a descriptor, if it is watched.
pub(crate) fn watched(file: c_int) -> Option<u64> {
    let slot = usize::try_from(file).ok().and_then(|at| WATCHED.get(at))?;
    Some(slot.load(Ordering::Acquire)).filter(|number| *number != 0)
}

/// Watches a descriptor from now on; `number` 0 stops that.
pub(crate) fn watch(file: c_int, number: u64) {
    if let Some(slot) = usize::try_from(file).ok().and_then(|at| WATCHED.get(at)) {
        slot.store(number, Ordering::Release);
    }
}

/// The absolute path of a file, if it is watched.
pub(crate) fn path_of(folder: c_int, path: *const c_char) -> Option<PathBuf> {
    let places = PLACES.as_ref()?;
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller of the interposed function passed a valid C string.
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

/// Whether syncs of watched files must fail now.
pub(crate) fn is_failing() -> bool {
    let failing = PLACES.as_ref().and_then(|places| places.failing.as_ref());
    failing.is_some_and(|file| file.exists())
}

/// The inode number and the length of a file.
pub(crate) fn number_and_length(file: c_int) -> Option<(u64, u64)> {
    let about = fs::metadata(format!("/proc/self/fd/{file}")).ok()?;
    Some((about.ino(), about.len()))
}

impl Journals {
    /// Records that a name is about to be created.
    pub(crate) fn creating(&mut self, path: &Path) {
        self.keep_of_folder(path, &Entry::Created { path: path.as_os_str().as_bytes().to_vec() });
    }

    /// Records that a name is about to be removed, if such a file exists; a hard link keeps its
    /// data.
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

    /// Registers a new file: entries about an earlier file with the same inode number do not apply
    /// to it.
    pub(crate) fn is_new(&mut self, number: u64) {
        let upto = self.length(number);
        self.forgotten.insert(number, Forgotten { upto, left: 0 });
        if let Some(journal) = self.journal(number) {
            kernel::ftruncate(journal, 0);
        }
    }

    /// Registers a new descriptor: it reports only failures from now on.
    pub(crate) fn opened(&mut self, number: u64, file: c_int) {
        let failures = self.failures.get(&number).copied().unwrap_or(0);
        self.told.insert(file, failures);
    }

    /// Whether a sync by this descriptor fails: Linux reports a failure once to each descriptor.
    pub(crate) fn tells(&mut self, number: u64, file: c_int) -> bool {
        let failures = self.failures.get(&number).copied().unwrap_or(0);
        self.told.insert(file, failures).unwrap_or(0) < failures
    }

    /// Whether a file was changed since its last successful sync began, or since its last failed
    /// sync.
    pub(crate) fn is_dirty(&mut self, number: u64) -> bool {
        let written = self.written(number);
        let entries = read(&written);
        entries.last().is_some_and(|last| *last != Entry::Failed)
    }

    /// Records that a file could not be synced.
    pub(crate) fn failed(&mut self, number: u64) {
        *self.failures.entry(number).or_default() += 1;
        let mut entry = Vec::new();
        write(&Entry::Failed, &mut entry);
        self.append(number, &entry);
    }

    /// Records the bytes that are about to be overwritten.
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

    /// Records that the length of a file is about to change.
    pub(crate) fn resizing(&mut self, number: u64, file: c_int, to: u64) {
        let Some((_, length)) = number_and_length(file) else { return };
        let mut entries = Vec::new();
        write(&Entry::Resized { length }, &mut entries);
        sectors(file, to, length, &mut entries);
        self.append(number, &entries);
    }

    /// The number of journal bytes ever written for a file.
    pub(crate) fn length(&mut self, number: u64) -> u64 {
        let Forgotten { upto, left } = self.forgotten(number);
        self.size(number).saturating_sub(left) + upto
    }

    /// Records a successful sync: the first `length` journal bytes ever written need no undoing,
    /// except where an earlier sync failed.
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

    /// The present content of a file's journal.
    fn written(&mut self, number: u64) -> Vec<u8> {
        let mut whole = vec![0; usize::try_from(self.size(number)).unwrap_or(0)];
        let Some(journal) = self.journal(number) else { return Vec::new() };
        // SAFETY: the journal's descriptor stays open as long as the process lives.
        let file = unsafe { BorrowedFd::borrow_raw(journal) }.try_clone_to_owned();
        let is_read = file.map(|file| fs::File::from(file).read_exact_at(&mut whole, 0));
        if matches!(is_read, Ok(Ok(()))) { whole } else { Vec::new() }
    }

    /// The present length of a file's journal.
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

/// Appends entries with the old content of all sectors between `from` and `to`.
fn sectors(file: c_int, from: u64, to: u64, entries: &mut Vec<u8>) {
    // The program may have opened the file write-only.
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
