//! The journal of what a power failure must undo: one file of entries for each file or folder,
//! named by its inode number. A sync of that file or folder empties it.
//!
//! An entry holds the old content. It is written before the change itself, so a program that is
//! killed between the two leaves only an entry whose undoing changes nothing.

use std::collections::HashSet;

/// The smallest unit that a disk writes atomically, in bytes.
pub const SECTOR: usize = 512;
/// The unit of the page cache, in bytes, which is written as a whole.
const PAGE: u64 = 4096;

/// The state before one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A name was created in a folder.
    Created {
        /// The absolute path.
        path: Vec<u8>,
    },
    /// A name was removed from a folder, by deleting or renaming the file.
    Removed {
        /// The absolute path.
        path: Vec<u8>,
        /// A hard link to the same file, outside the watched folder.
        kept: Vec<u8>,
    },
    /// A sync failed.
    Failed,
    /// The length of a file changed.
    Resized {
        /// The old length.
        length: u64,
    },
    /// A sector of a file changed.
    Sector {
        /// The offset of the sector.
        offset: u64,
        /// The old content: shorter than a sector, or empty, if the file ended before the sector's
        /// end.
        bytes: Vec<u8>,
    },
}

/// Appends an encoded entry.
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

/// Decodes the entries, oldest first. An incomplete last entry is ignored: its change was never
/// made.
pub fn read(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = next(&mut bytes) {
        entries.push(entry);
    }
    entries
}

/// Returns the entries that remain after a successful sync: none, unless an earlier sync failed.
/// Linux treats data that a sync failed to write as written: it can be read, and no later sync
/// writes it unless the page changes again (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
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
        // The rewritten page is clean as a whole, and no other page.
        let again = [at(0), at(8192), Entry::Failed, at(512)];
        assert_eq!(synced(&again), [at(8192), Entry::Failed]);
        // A second failure loses the rewritten page again.
        let twice = [at(0), Entry::Failed, at(0), Entry::Failed, at(8192)];
        assert_eq!(synced(&twice), [at(0), at(0), Entry::Failed]);
    }
}
