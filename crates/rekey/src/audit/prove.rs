//! Proves that entries are in the trail, by the path from each to a signed root (C2SP
//! `tlog-proof`).

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::Trail;
use crate::{
    Error,
    model::audit::{Hash, tree},
    store::{KeptCheckpoint, Tx},
};

/// Rows that one transaction reads.
const PAGE: i64 = 1000;

/// Proofs for entries, and the checkpoint that they lead to.
pub struct Proven {
    /// The signed note.
    pub note: String,
    /// One proof for each entry about the object that the checkpoint covers.
    pub proofs: Vec<Proof>,
    /// How many further entries about the object are not covered yet.
    pub uncovered: usize,
}

/// The proof of one entry.
pub struct Proof {
    /// The position of the entry in the chain.
    pub position: i64,
    /// The text of the entry.
    pub entry: String,
    /// The sibling hashes on the path from the leaf to the root, in that order.
    pub way: Vec<Hash>,
}

impl Proof {
    /// Returns the proof as a `tlog-proof`, with the entry in its `extra` line.
    pub fn text(&self, note: &str) -> String {
        let mut text = format!(
            "c2sp.org/tlog-proof@v1\nextra {}\nindex {}\n",
            BASE64_STANDARD.encode(&self.entry),
            self.position
        );
        for hash in &self.way {
            let _ = writeln!(text, "{hash}");
        }
        text + "\n" + note
    }
}

/// The trail up to its newest signed checkpoint.
pub(super) struct Covered {
    pub(super) note: String,
    pub(super) root: Hash,
    /// Every entry, in order of position.
    pub(super) entries: Vec<String>,
}

/// Proves the entries about `object`, a request's id. Each proof is verified before it is returned.
pub async fn prove(trail: &Trail, object: &str) -> Result<Proven, Error> {
    let about = object.to_owned();
    let positions = trail.store.read(move |tx| tx.positions_of(&about)).await?;
    if positions.is_empty() {
        return Err(Error::Setup(format!(
            "the audit trail has no entry about {object}: give a requestId as set-password answered it; a new one is chained within a second or two"
        )));
    }
    let Covered { note, root, entries } = covered(trail).await?;
    let leaves: Vec<_> = entries.iter().map(|entry| Hash::of_leaf(entry.as_bytes())).collect();
    if tree::root(&leaves) != root {
        return Err(altered());
    }
    let mut proven = Proven { note, proofs: Vec::new(), uncovered: 0 };
    for position in positions {
        let index = usize::try_from(position).unwrap_or(usize::MAX);
        let (Some(entry), Some(leaf)) = (entries.get(index), leaves.get(index)) else {
            proven.uncovered += 1;
            continue;
        };
        let way = tree::path(&leaves, index);
        if tree::root_by(*leaf, as_u64(index), as_u64(leaves.len()), &way) != Some(root) {
            return Err(Error::Internal("a proof does not lead to the signed root".into()));
        }
        proven.proofs.push(Proof { position, entry: entry.clone(), way });
    }
    if proven.proofs.is_empty() {
        return Err(Error::Setup(format!(
            "the entries about {object} have no checkpoint yet: try again in ten seconds"
        )));
    }
    Ok(proven)
}

/// Reads the entries that the newest signed checkpoint covers.
pub(super) async fn covered(trail: &Trail) -> Result<Covered, Error> {
    let KeptCheckpoint { size, note } = newest(trail).await?;
    let checkpoint = trail.signer.open(&note).map_err(|why| {
        Error::Setup(format!("the newest checkpoint: {why}; run `rekey audit verify`"))
    })?;
    let mut entries: Vec<String> = Vec::new();
    let mut next = 0;
    while next < size {
        let page = (size - next).min(PAGE);
        let links = trail.store.read(move |tx| tx.links(next, page)).await?;
        for link in &links {
            let event =
                link.event.as_ref().filter(|_| link.position == next).ok_or_else(altered)?;
            entries.push(event.entry());
            next += 1;
        }
        if links.is_empty() {
            return Err(altered());
        }
    }
    Ok(Covered { note, root: checkpoint.root, entries })
}

/// Returns the newest signed checkpoint.
pub async fn newest(trail: &Trail) -> Result<KeptCheckpoint, Error> {
    let newest = trail.store.read(|tx: &mut Tx<'_>| tx.newest_checkpoint()).await?;
    // Another process may have committed the checkpoint, and the caller stores it elsewhere: it
    // must be durable first. A write returns only when all earlier commits are durable.
    trail.store.write(|_| Ok::<_, Error>(())).await?;
    newest.ok_or_else(|| {
        Error::Setup("the audit trail has no checkpoint yet: a running server signs one within ten seconds of an entry".into())
    })
}

fn altered() -> Error {
    Error::Setup("the audit trail was altered, so nothing can be shown by it: run `rekey audit verify`, which names what".into())
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
