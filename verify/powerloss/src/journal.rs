//! What must be undone when the power goes: one file of entries for each file or folder, named by
//! its number in the file system, emptied whenever that file or folder is synced.
//!
//! An entry says what was there before. It is written before the change itself, so a program that
//! is killed between the two only leaves something to undo that never was.

use std::collections::HashSet;

/// The least that a disk writes whole, in bytes.
pub const SECTOR: usize = 512;
/// What memory holds of a file in one piece, in bytes: it is written whole.
const PAGE: u64 = 4096;

/// What one change took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A name was made in a folder.
    Created {
        /// The whole path.
        path: Vec<u8>,
    },
    /// A name was taken away from a folder, by removing it or by giving the file another.
    Removed {
        /// The whole path.
        path: Vec<u8>,
        /// A second name of the same file, outside.
        kept: Vec<u8>,
    },
    /// A sync failed.
    Failed,
    /// The length of a file changed.
    Resized {
        /// What it was.
        length: u64,
    },
    /// A sector of a file changed.
    Sector {
        /// Where it begins.
        offset: u64,
        /// What was there: shorter, or nothing, where the file ended before.
        bytes: Vec<u8>,
    },
}

/// Appends an entry as bytes.
pub fn write(entry: &Entry, to: &mut Vec<u8>) {
    let mut part = |bytes: &[u8]| {
        to.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        to.extend_from_slice(bytes);
    };
    match entry {
        Entry::Created { path } => {
            part(b"c");
            part(path);
            part(b"");
        }
        Entry::Removed { path, kept } => {
            part(b"r");
            part(path);
            part(kept);
        }
        Entry::Failed => {
            part(b"f");
            part(b"");
            part(b"");
        }
        Entry::Resized { length } => {
            part(b"l");
            part(&length.to_le_bytes());
            part(b"");
        }
        Entry::Sector { offset, bytes } => {
            part(b"s");
            part(&offset.to_le_bytes());
            part(bytes);
        }
    }
}

/// The entries, oldest first. One that was cut off in the middle was never followed by its change.
pub fn read(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = next(&mut bytes) {
        entries.push(entry);
    }
    entries
}

/// What a sync that succeeds leaves to be undone: nothing, unless one failed before it. What a sync
/// fails to write Linux takes for written all the same: it can be read, and no later sync writes
/// it, unless the page is changed once more (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
pub fn left_by_sync(mut entries: Vec<Entry>) -> Vec<Entry> {
    let Some(last) = entries.iter().rposition(|entry| *entry == Entry::Failed) else {
        return Vec::new();
    };
    let page = |entry: &Entry| {
        if let Entry::Sector { offset, .. } = entry { Some(offset / PAGE) } else { None }
    };
    let again: HashSet<u64> = entries.iter().skip(last).filter_map(page).collect();
    entries.truncate(last);
    entries.retain(|entry| page(entry).is_some_and(|page| !again.contains(&page)));
    if !entries.is_empty() {
        entries.push(Entry::Failed);
    }
    entries
}

fn next(bytes: &mut &[u8]) -> Option<Entry> {
    let kind = part(bytes)?.to_vec();
    let (first, second) = (part(bytes)?.to_vec(), part(bytes)?.to_vec());
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    match kind.as_slice() {
        b"c" => Some(Entry::Created { path: first }),
        b"r" => Some(Entry::Removed { path: first, kept: second }),
        b"f" => Some(Entry::Failed),
        b"l" => Some(Entry::Resized { length: number(&first)? }),
        b"s" => Some(Entry::Sector { offset: number(&first)?, bytes: second }),
        _ => None,
    }
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(8)?;
    let length = u64::from_le_bytes(length.try_into().ok()?);
    let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_up_to_where_it_was_cut_off() {
        let entries = vec![
            Entry::Created { path: b"/a/b".to_vec() },
            Entry::Removed { path: b"/a/b".to_vec(), kept: b"/c".to_vec() },
            Entry::Failed,
            Entry::Resized { length: 7 },
            Entry::Sector { offset: 512, bytes: vec![1, 2, 3] },
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            write(entry, &mut bytes);
        }
        assert_eq!(read(&bytes), entries);
        for cut in 1..20 {
            assert_eq!(read(&bytes[..bytes.len() - cut]), entries[..4]);
        }
    }

    #[test]
    fn a_failed_sync_is_made_good_only_by_writing_once_more() {
        let at = |offset| Entry::Sector { offset, bytes: vec![] };
        let synced = |entries: &[Entry]| left_by_sync(entries.to_vec());
        assert_eq!(synced(&[at(0), at(8192)]), []);
        assert_eq!(synced(&[at(0), at(8192), Entry::Failed]), [at(0), at(8192), Entry::Failed]);
        // The whole page, and nothing else.
        let again = [at(0), at(8192), Entry::Failed, at(512)];
        assert_eq!(synced(&again), [at(8192), Entry::Failed]);
        // A second failure takes away what was written once more.
        let twice = [at(0), Entry::Failed, at(0), Entry::Failed, at(8192)];
        assert_eq!(synced(&twice), [at(0), at(0), Entry::Failed]);
    }
}
