//! A simulated power failure: unsynced changes are undone.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirEntryExt, FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use crate::journal::{Entry, SECTOR, read};

/// The part of the unsynced changes that is lost.
pub enum Loss<'a> {
    /// All of them.
    All,
    /// A random part: each sector, length and name gets the state it had at a random time since the
    /// last sync. The function returns a random number below its argument.
    Some(&'a mut dyn FnMut(usize) -> usize),
}

/// The numbers of undone changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undone {
    /// Sectors that were set back to an older state.
    pub sectors: usize,
    /// Sectors that had changed since their last sync.
    pub unsynced: usize,
    /// Creations, removals and renamings of names that were undone.
    pub names: usize,
}

impl std::ops::AddAssign for Undone {
    fn add_assign(&mut self, other: Self) {
        self.sectors += other.sectors;
        self.unsynced += other.unsynced;
        self.names += other.names;
    }
}

/// Undoes the unsynced changes of files below `folder`, from the journals in `journal`, and empties
/// the journals. No program may have the files open.
pub fn undo(folder: &Path, journal: &Path, mut loss: Loss<'_>) -> io::Result<Undone> {
    let mut undone = Undone::default();
    let mut journals: Vec<_> = fs::read_dir(journal)?.collect::<io::Result<_>>()?;
    journals.sort_by_key(fs::DirEntry::file_name);
    // Folders come first: a file whose name is restored has contents to undo, too.
    for folders in [true, false] {
        let files = files(folder)?;
        for one in &journals {
            let name = one.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            let Some(path) = number.and_then(|number| files.get(&number)) else { continue };
            if path.is_dir() != folders {
                continue;
            }
            let entries = read(&fs::read(one.path())?);
            if folders {
                names(entries, &mut loss, &mut undone)?;
            } else {
                contents(path, &entries, &mut loss, &mut undone)?;
            }
        }
    }
    for left in fs::read_dir(journal)? {
        fs::remove_file(left?.path())?;
    }
    Ok(undone)
}

/// Every file and folder in and below `folder`, by inode number.
fn files(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        found.insert(fs::metadata(&folder)?.ino(), folder.clone());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.ino(), entry.path());
            }
        }
    }
    Ok(found)
}

/// Undoes changes of names from the last to the first, since each depends on those before it.
fn names(entries: Vec<Entry>, loss: &mut Loss<'_>, undone: &mut Undone) -> io::Result<()> {
    let keep = match loss {
        Loss::All => 0,
        // A folder's changes reach the disk in order, so the kept ones are a prefix.
        Loss::Some(chance) => chance(entries.len() + 1),
    };
    for entry in entries.into_iter().skip(keep).rev() {
        let path = |bytes: &[u8]| Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned();
        let done = match &entry {
            Entry::Created { path: name } => fs::remove_file(path(name)),
            Entry::Removed { path: name, kept } => fs::rename(path(kept), path(name)),
            Entry::Failed | Entry::Resized { .. } | Entry::Sector { .. } => continue,
        };
        match done {
            // The program was killed before the change itself.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
        undone.names += 1;
    }
    Ok(())
}

fn contents(
    path: &Path,
    entries: &[Entry],
    loss: &mut Loss<'_>,
    undone: &mut Undone,
) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let current = file.metadata()?.len();
    let mut lengths = Vec::new();
    let mut sectors: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Resized { length } => lengths.push(*length),
            Entry::Sector { offset, bytes } => sectors.entry(*offset).or_default().push(bytes),
            Entry::Created { .. } | Entry::Failed | Entry::Removed { .. } => {}
        }
    }
    for (offset, versions) in sectors {
        undone.unsynced += 1;
        let version = match loss {
            Loss::All => 0,
            // There is one more choice than old versions: the newest state stays.
            Loss::Some(chance) => chance(versions.len() + 1),
        };
        if let Some(version) = versions.get(version) {
            undone.sectors += 1;
            restore(&file, offset, version)?;
        }
    }
    lengths.push(current);
    let length = match loss {
        Loss::All => lengths.first(),
        Loss::Some(chance) => lengths.get(chance(lengths.len())),
    };
    file.set_len(*length.unwrap_or(&0))
}

/// Writes the old content of a sector. Bytes beyond the old end of the file become zeros, within
/// the file's final length.
fn restore(file: &File, offset: u64, version: &[u8]) -> io::Result<()> {
    let mut whole = version.to_vec();
    whole.resize(SECTOR, 0);
    file.write_all_at(&whole, offset)
}
