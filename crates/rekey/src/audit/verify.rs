//! Verifies the whole trail and names each fault.

use std::collections::HashMap;

use aws_lc_rs::hmac;

use super::{Checkpoint, Trail};
use crate::{
    Error,
    model::{
        audit::{
            Event, Hash,
            personal::{Known, State},
            tree::Tree,
        },
        time::Micros,
    },
    store::{self, KeptCheckpoint, Link, Tx},
};

/// Rows that one transaction reads.
const PAGE: i64 = 1000;
/// Most findings that are listed; further ones are only counted.
const NAMED: usize = 1000;

/// One fault.
pub struct Finding {
    /// The position in the chain.
    pub position: Option<i64>,
    /// The number of the row.
    pub seq: Option<i64>,
    /// The time of the row.
    pub at: Option<Micros>,
    /// A description of the fault.
    pub what: String,
}

/// The result of a verification.
#[derive(Default)]
pub struct Report {
    /// The number of places in the chain.
    pub entries: i64,
    /// Rows that have no place in the chain yet.
    pub waiting: usize,
    /// Rows whose personal data was erased.
    pub erased: usize,
    /// The number of signed checkpoints.
    pub checkpoints: usize,
    /// How many entries the newest checkpoint covers.
    pub covered: i64,
    /// The faults, in the order of the chain.
    pub findings: Vec<Finding>,
    /// The number of further faults.
    pub more: usize,
}

impl Report {
    /// Returns the number of faults.
    pub fn wrong(&self) -> usize {
        self.findings.len() + self.more
    }

    /// Adds a fault of the trail as a whole.
    fn find(&mut self, what: impl Into<String>) {
        self.add(Finding { position: None, seq: None, at: None, what: what.into() });
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < NAMED {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Verifies everything. `outside` is a signed checkpoint that was stored elsewhere.
pub async fn verify(trail: &Trail, outside: Option<&str>) -> Result<Report, Error> {
    let newest = trail.store.read(|tx: &mut Tx<'_>| tx.newest_checkpoint()).await?;
    let mut walk = Walk::new(trail, outside, newest.map_or(0, |newest| newest.size))?;
    walk.chain().await?;
    walk.strays(i64::MIN).await?;
    Ok(walk.report)
}

/// Verifies only the last `count` places, and no checkpoint: quick.
pub async fn tail(trail: &Trail, count: i64) -> Result<Report, Error> {
    let look = move |tx: &mut Tx<'_>| -> Result<_, Error> {
        let start = tx.last_position()?.map_or(0, |last| (last + 1 - count).max(0));
        let before = if start > 0 { tx.link_hash(start - 1)? } else { None };
        let first = if start > 0 { tx.links(start, 1)?.pop() } else { None };
        Ok((start, before, first.map_or(i64::MIN, |link| link.seq)))
    };
    let (start, before, seq) = trail.store.read(look).await?;
    let mut walk = Walk::new(trail, None, 0)?;
    if start > 0 {
        walk.next = start;
        walk.kept = Hash(before.and_then(|hash| hash.try_into().ok()).unwrap_or([0; 32]));
        walk.made = walk.kept;
        walk.tree = None;
    }
    walk.chain().await?;
    walk.strays(seq).await?;
    Ok(walk.report)
}

struct Walk<'a> {
    trail: &'a Trail,
    key: hmac::Key,
    report: Report,
    /// The next position.
    next: i64,
    /// The hash before that position, as it is stored and as it follows from the rows.
    kept: Hash,
    made: Hash,
    /// `None` once an entry is missing: no further root can be computed.
    tree: Option<Tree>,
    /// Whether a root differed: all later ones then differ, too.
    differs: bool,
    /// The position at which each digest was seen first, by the first 8 bytes of the digest.
    seen: HashMap<u64, i64>,
    outside: Option<Checkpoint>,
    /// The stored checkpoints that were not reached yet, in reverse order.
    ahead: Vec<KeptCheckpoint>,
    /// The size of the last checkpoint that was read, and of the newest one at the start. Later
    /// checkpoints are left out, since the trail grows during the verification.
    read: i64,
    newest: i64,
}

impl<'a> Walk<'a> {
    fn new(trail: &'a Trail, outside: Option<&str>, newest: i64) -> Result<Self, Error> {
        let mut report = Report::default();
        // The note may come from the log, where it is in one line.
        let note = outside.map(|text| {
            let text = text.trim().trim_matches('"').replace("\\n", "\n");
            format!("{}\n", text.trim_end())
        });
        let outside = note.and_then(|note| match trail.signer.open(&note) {
            Ok(checkpoint) => Some(checkpoint),
            Err(why) => {
                report.find(format!("the checkpoint you gave cannot be used: {why}"));
                None
            }
        });
        let zero = Hash([0; 32]);
        Ok(Self {
            trail,
            key: trail.store.audit_key()?.clone(),
            report,
            next: 0,
            kept: zero,
            made: zero,
            tree: Some(Tree::default()),
            differs: false,
            seen: HashMap::new(),
            outside,
            ahead: Vec::new(),
            read: 0,
            newest,
        })
    }

    /// Verifies every place and every checkpoint, in order.
    async fn chain(&mut self) -> Result<(), Error> {
        loop {
            self.read_ahead().await?;
            let position = self.next;
            let look = move |tx: &mut Tx<'_>| -> store::Result<_> {
                let links = tx.links(position, PAGE)?;
                let known = tx.personal_of(links.iter().filter_map(|link| link.event.as_ref()))?;
                Ok((links, known))
            };
            let (links, known) = self.trail.store.read(look).await?;
            if links.is_empty() {
                break;
            }
            for link in links {
                self.link(link, &known);
                if self.ahead.is_empty() && self.read < self.newest {
                    break;
                }
            }
        }
        self.end();
        self.report.entries = self.next;
        Ok(())
    }

    /// Reads the next checkpoints once all earlier ones were reached.
    async fn read_ahead(&mut self) -> Result<(), Error> {
        if !self.ahead.is_empty() || self.read >= self.newest {
            return Ok(());
        }
        let after = self.read;
        let mut page = self.trail.store.read(move |tx| tx.checkpoints(after, PAGE)).await?;
        page.retain(|kept| kept.size <= self.newest);
        self.read = page.last().map_or(self.newest, |last| last.size);
        self.report.checkpoints += page.len();
        self.report.covered = self.read;
        page.reverse();
        self.ahead = page;
        Ok(())
    }

    fn link(&mut self, link: Link, known: &Known) {
        let Link { position, seq, hash, event } = link;
        let gap = position > self.next;
        if gap {
            let last = position - 1;
            let which = if last == self.next {
                format!("position {last} is")
            } else {
                format!("positions {} to {last} are", self.next)
            };
            let what = format!("removed: {which} missing from the chain");
            self.report.add(Finding { position: Some(self.next), seq: None, at: None, what });
            self.tree = None;
        }
        let hash = Hash(hash.try_into().unwrap_or([0; 32]));
        if let Some(event) = &event {
            self.event(position, event, hash, gap);
            self.personal(position, event, known);
        } else {
            let what = "removed: the row is gone".into();
            self.report.add(Finding { position: Some(position), seq: Some(seq), at: None, what });
            self.tree = None;
            self.made = hash;
        }
        self.kept = hash;
        self.next = position + 1;
        self.checkpoints();
    }

    fn event(&mut self, position: i64, event: &Event, hash: Hash, gap: bool) {
        let entry = event.entry();
        let entry = entry.as_bytes();
        let (by_kept, by_made) = (self.kept.chained(entry), self.made.chained(entry));
        // After a gap nothing can be said about the hash.
        let linked = gap || hash == by_kept || hash == by_made;
        let what = match (linked, event.is_ours(&self.key)) {
            (true, true) => self.copied(position, event),
            (true, false) => {
                Some("forged: rekey did not write this row; it was inserted, or edited and chained anew".into())
            }
            (false, false) => {
                Some("edited: the row does not say what it said when it was written".into())
            }
            (false, true) => Some(
                "reordered: rekey wrote this row, but it is not the one that was chained here; rows were exchanged, or the chain was altered".into(),
            ),
        };
        if let Some(what) = what {
            self.at(Some(position), event, what);
        }
        self.made = if gap { hash } else { by_made };
        if let Some(tree) = &mut self.tree {
            tree.push(Hash::of_leaf(entry));
        }
    }

    /// Verifies the personal data of a row, which is stored separately: it may be erased, but not
    /// altered.
    fn personal(&mut self, position: i64, event: &Event, known: &Known) {
        let State { is_altered, is_erased } = State::of(event, known);
        self.report.erased += usize::from(is_erased);
        if is_altered {
            let what = "edited: what the row says of a person is not what was written";
            self.at(Some(position), event, what.into());
        }
    }

    /// Reports a row that was seen before: the digest of a copy is valid.
    fn copied(&mut self, position: i64, event: &Event) -> Option<String> {
        let begin = event.mac.as_deref()?.first_chunk()?;
        let first = *self.seen.entry(u64::from_le_bytes(*begin)).or_insert(position);
        (first != position).then(|| format!("inserted: a copy of the row at position {first}"))
    }

    /// Verifies the checkpoints that end at this position.
    fn checkpoints(&mut self) {
        while let Some(kept) = self.ahead.pop_if(|kept| kept.size <= self.next) {
            match self.trail.signer.open(&kept.note) {
                Err(why) => {
                    self.report.find(format!("the checkpoint of {} entries: {why}", kept.size));
                }
                Ok(checkpoint) if position(checkpoint.size) != kept.size => {
                    let (size, kept) = (checkpoint.size, kept.size);
                    self.report
                        .find(format!("the checkpoint of {size} entries is kept as one of {kept}"));
                }
                Ok(checkpoint) => self.root(&checkpoint, "the checkpoint"),
            }
        }
        if self.outside.as_ref().is_some_and(|outside| position(outside.size) <= self.next)
            && let Some(outside) = self.outside.take()
        {
            // `root` is silent after the first fault, but this checkpoint is always compared.
            self.differs = false;
            self.root(&outside, "the checkpoint you gave,");
        }
    }

    fn root(&mut self, checkpoint: &Checkpoint, which: &str) {
        let size = checkpoint.size;
        let root = self.tree.as_ref().filter(|tree| tree.size() == size).map(Tree::root);
        if root == Some(checkpoint.root) || self.differs {
            return;
        }
        self.differs = true;
        let what = if root.is_some() {
            format!(
                "{which} of {size} entries: its signed root is not that of the entries; what it covers was altered"
            )
        } else {
            format!(
                "{which} of {size} entries: entries that it covers are missing, so its root cannot be made"
            )
        };
        self.report.find(what);
    }

    /// Reports the checkpoints that were not reached when the chain has ended.
    fn end(&mut self) {
        let there = self.next;
        let unreached = std::mem::take(&mut self.ahead);
        if unreached.iter().any(|kept| self.trail.signer.open(&kept.note).is_ok()) {
            let newest = self.newest;
            self.ends(format!(
                "cut: the newest checkpoint covers {newest} entries, and only {there} are there"
            ));
        } else if let Some(kept) = unreached.last() {
            let size = kept.size;
            self.report.find(format!("forged: a checkpoint of {size} entries is kept, and this installation did not sign it"));
        }
        if let Some(outside) = self.outside.take().filter(|outside| outside.size > 0) {
            let size = outside.size;
            self.ends(format!(
                "cut: the checkpoint you gave covers {size} entries, and only {there} are there"
            ));
        }
    }

    fn ends(&mut self, what: String) {
        self.report.add(Finding { position: Some(self.next), seq: None, at: None, what });
    }

    fn at(&mut self, position: Option<i64>, event: &Event, what: String) {
        self.report.add(Finding { position, seq: Some(event.seq), at: Some(event.at), what });
    }

    /// Verifies the rows without a place: rows that were just written, and rows that someone
    /// inserted.
    async fn strays(&mut self, from: i64) -> Result<(), Error> {
        let mut after = from;
        loop {
            let strays = self.trail.store.read(move |tx| tx.unchained(after, PAGE)).await?;
            let Some(last) = strays.last() else { return Ok(()) };
            after = last.seq;
            for event in &strays {
                if !event.is_ours(&self.key) {
                    let what = "inserted: rekey did not write this row, and it is not in the chain";
                    self.at(None, event, what.into());
                } else if let Some(what) = self.copied(-1, event) {
                    self.at(None, event, what);
                } else {
                    self.report.waiting += 1;
                }
            }
        }
    }
}

fn position(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
