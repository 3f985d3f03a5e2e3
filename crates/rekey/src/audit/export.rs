//! Exports the trail: as one line of JSON for each entry, or as the files of a C2SP `tlog-tiles`
//! log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Trail,
    prove::{Covered, covered},
};
use crate::{
    Error,
    model::audit::{Hash, tree},
    store::{self, Tx},
};

/// Rows that one transaction reads.
const PAGE: i64 = 1000;
/// Hashes, or entries, in a full tile.
const WIDTH: usize = 256;

/// Calls `line` with every chained entry, in order.
pub async fn lines(trail: &Trail, mut line: impl FnMut(serde_json::Value)) -> Result<(), Error> {
    let mut next = 0;
    loop {
        let look = move |tx: &mut Tx<'_>| -> store::Result<_> {
            let links = tx.links(next, PAGE)?;
            let known = tx.personal_of(links.iter().filter_map(|link| link.event.as_ref()))?;
            Ok((links, known))
        };
        let (links, known) = trail.store.read(look).await?;
        let Some(last) = links.last() else { return Ok(()) };
        next = last.position + 1;
        for link in links {
            if let (Some(event), position) = (link.event, link.position) {
                let mut json = event.json(&known);
                if let Some(members) = json.as_object_mut() {
                    members.insert("position".into(), position.into());
                }
                line(json);
            }
        }
    }
}

/// Writes the signed checkpoint, the tiles and the entries into `folder`, for a web server to
/// serve. Returns the number of entries.
pub async fn tiles(trail: &Trail, folder: &Path) -> Result<usize, Error> {
    let Covered { note, entries, .. } = covered(trail).await?;
    let tile = folder.join("tile");
    for (number, some) in entries.chunks(WIDTH).enumerate() {
        write(&place(&tile.join("entries"), number, some.len()), &bundle(some)?)?;
    }
    let mut hashes: Vec<_> = entries.iter().map(|entry| Hash::of_leaf(entry.as_bytes())).collect();
    let mut level = 0;
    while !hashes.is_empty() {
        for (number, some) in hashes.chunks(WIDTH).enumerate() {
            let bytes: Vec<u8> = some.iter().flat_map(|hash| hash.0).collect();
            write(&place(&tile.join(level.to_string()), number, some.len()), &bytes)?;
        }
        hashes = hashes.chunks_exact(WIDTH).map(tree::root).collect();
        level += 1;
    }
    // The checkpoint is written last, so that the entries it covers are always there.
    write(&folder.join("checkpoint"), note.as_bytes())?;
    Ok(entries.len())
}

/// Encodes an entry bundle: each entry follows its length, as two bytes in big-endian order.
fn bundle(entries: &[String]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| {
            Error::Setup(
                "an entry of more than 65535 bytes fits in no tile: leave out --tiles".into(),
            )
        })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry.as_bytes());
    }
    Ok(bytes)
}

/// Returns the path of a tile: `x001/x234/067` for number 1234067, with the suffix `.p/W` if the
/// tile has only `width` entries.
fn place(folder: &Path, number: usize, width: usize) -> PathBuf {
    let mut name = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH {
        name = format!("{name}.p/{width}");
    }
    folder.join(name)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| Error::Setup(format!("{} cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_the_specification_does() {
        for (number, width, name) in [
            (0, 256, "t/000"),
            (1_234_067, 256, "t/x001/x234/067"),
            (273, 112, "t/273.p/112"),
            (1000, 1, "t/x001/000.p/1"),
        ] {
            assert_eq!(place(Path::new("t"), number, width), Path::new(name));
        }
    }
}
