//! Gives the committed rows their places in the chain, and signs checkpoints over them.
//!
//! Rows get their numbers before they are committed, so that the order of numbers has gaps that
//! fill later. This module therefore appends committed rows to an order of its own. A batch is
//! written only if the head of the chain is still the one that was read: of two nodes at once, one
//! writes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checkpoint, Trail};
use crate::{
    Error,
    model::{
        audit::{Event, Hash, tree::Tree},
        time::Micros,
    },
    store::Tx,
};

/// The setting that stores the head.
const HEAD: &str = "audit_head";
/// Most rows in one round.
const BATCH: i64 = 1000;
/// A signed checkpoint is due after this many entries, or this long after the last one.
const ENTRIES: u64 = 1000;
const EVERY: Duration = Duration::from_secs(10);
/// On PostgreSQL, how far below the highest chained number a round searches for rows that were
/// committed late: `FAR_BACK` in the first round and every sixtieth, `BACK` in the others.
const BACK: i64 = 2_000;
const FAR_BACK: i64 = 100_000;
const FAR: u64 = 60;

/// The end of the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    hash: Hash,
    tree: Tree,
    /// The highest number among the chained rows.
    seq: i64,
    /// How many entries the last signed checkpoint covers, and when it was signed.
    checkpoint: u64,
    signed: Micros,
}

impl Default for Head {
    fn default() -> Self {
        let tree = Tree::default();
        Self { hash: Hash([0; 32]), tree, seq: i64::MIN, checkpoint: 0, signed: Micros(0) }
    }
}

/// The chaining of one node. It remembers the end of the chain, and so notices a rewritten chain as
/// long as the process runs.
#[derive(Default)]
pub struct Chainer {
    rounds: u64,
    last: Option<(i64, Hash)>,
}

/// The rows and the head that a round read.
struct Found {
    text: String,
    head: Head,
    events: Vec<Event>,
    /// Whether the chain no longer contains an entry that this node has seen in it.
    cut: bool,
}

impl Chainer {
    /// Chains up to `BATCH` rows, and signs a checkpoint if one is due. Returns whether the next
    /// round should follow immediately.
    pub async fn round(&mut self, trail: &Trail) -> Result<bool, Error> {
        self.step(trail, false).await
    }

    /// Chains all pending rows and signs a checkpoint over them.
    pub async fn finish(&mut self, trail: &Trail) -> Result<(), Error> {
        while self.step(trail, true).await? {}
        Ok(())
    }

    async fn step(&mut self, trail: &Trail, finish: bool) -> Result<bool, Error> {
        let Found { text, mut head, events, cut } = self.look(trail).await?;
        if cut {
            tracing::error!("the audit trail was cut or rewritten: run `rekey audit verify`");
        }
        let foreign = trail.store.audit_key().map(|key| events.iter().find(|e| !e.is_ours(key)))?;
        if let Some(event) = foreign {
            tracing::error!(
                audit.seq = event.seq,
                "rekey did not write a row of its audit trail: run `rekey audit verify`"
            );
        }
        let more = events.len() == usize::try_from(BATCH).unwrap_or(0);
        let links = head.append(&events);
        let note = head.due(trail.clock.now(), finish).then(|| {
            head.checkpoint = head.tree.size();
            head.signed = trail.clock.now();
            let checkpoint = Checkpoint { size: head.tree.size(), root: head.tree.root() };
            trail.signer.sign(&checkpoint)
        });
        let last = head.last();
        if links.is_empty() && note.is_none() {
            self.last = last;
            return Ok(false);
        }
        let (size, new) = (position(head.tree.size()), encoded(&head)?);
        let kept = note.clone();
        let transaction = move |tx: &mut Tx<'_>| -> Result<bool, Error> {
            if !tx.replace_setting(HEAD, &text, &new)? {
                return Ok(false);
            }
            tx.insert_links(&links)?;
            if let Some(note) = &kept {
                tx.insert_checkpoint(size, note)?;
            }
            Ok(true)
        };
        if !trail.store.write(transaction).await? {
            // Another node has chained rows meanwhile: read again.
            return Ok(true);
        }
        self.last = last;
        if let Some(note) = note {
            tracing::info!(entries = size, checkpoint = ?note, "the audit trail has a checkpoint");
        }
        Ok(more)
    }

    async fn look(&mut self, trail: &Trail) -> Result<Found, Error> {
        let back = if self.rounds.is_multiple_of(FAR) { FAR_BACK } else { BACK };
        self.rounds += 1;
        let last = self.last;
        let look = move |tx: &mut Tx<'_>| -> Result<Option<Found>, Error> {
            let Some(text) = tx.setting(HEAD)? else { return Ok(None) };
            let head: Head = serde_json::from_str(&text)
                .map_err(|error| Error::Internal(format!("the setting {HEAD}: {error}")))?;
            // On SQLite the order of numbers is the order of commits.
            let back = if tx.is_postgres() { back } else { 0 };
            let events = tx.unchained(head.seq.saturating_sub(back), BATCH)?;
            let cut = match last {
                None => false,
                Some((position, hash)) => tx.link_hash(position)?.as_deref() != Some(&hash.0),
            };
            Ok(Some(Found { text, head, events, cut }))
        };
        loop {
            if let Some(found) = trail.store.read(look).await? {
                return Ok(found);
            }
            begin(trail).await?;
        }
    }
}

/// Begins the chain in its very first round. Rows of versions that wrote no digest get one.
async fn begin(trail: &Trail) -> Result<(), Error> {
    let key = trail.store.audit_key()?.clone();
    let head = encoded(&Head::default())?;
    let transaction = move |tx: &mut Tx<'_>| -> Result<(), Error> {
        if tx.setting(HEAD)?.is_some() {
            return Ok(());
        }
        loop {
            let old = tx.unsealed_audit(BATCH)?;
            if old.is_empty() {
                break;
            }
            for event in old {
                tx.set_audit_mac(event.seq, event.content().mac(&key).as_ref())?;
            }
        }
        tx.settle_setting(HEAD, &head)?;
        Ok(())
    };
    trail.store.write(transaction).await
}

impl Head {
    /// Gives each event the next place. Returns the position, the row's number and the hash for
    /// each.
    fn append(&mut self, events: &[Event]) -> Vec<(i64, i64, Hash)> {
        let mut links = Vec::with_capacity(events.len());
        for event in events {
            let entry = event.entry();
            self.hash = self.hash.chained(entry.as_bytes());
            links.push((position(self.tree.size()), event.seq, self.hash));
            self.tree.push(Hash::of_leaf(entry.as_bytes()));
            self.seq = self.seq.max(event.seq);
        }
        links
    }

    /// Whether a signed checkpoint is due.
    fn due(&self, now: Micros, finish: bool) -> bool {
        let new = self.tree.size() - self.checkpoint.min(self.tree.size());
        new > 0 && (finish || new >= ENTRIES || now >= self.signed.plus(EVERY))
    }

    fn last(&self) -> Option<(i64, Hash)> {
        (self.tree.size() > 0).then(|| (position(self.tree.size()) - 1, self.hash))
    }
}

fn encoded(head: &Head) -> Result<String, Error> {
    serde_json::to_string(head).map_err(|error| Error::Internal(error.to_string()))
}

fn position(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
