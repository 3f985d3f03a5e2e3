//! The ways in which the server dies in one cycle.

use std::time::Duration;

use rekey_harness::Result;

use crate::model::load::below;

/// How the server dies.
pub(super) enum Kill {
    /// The proof kills it this long after it was ready.
    AnyTime(Duration),
    /// The server ends itself at a named point that only a proof build has; the text is the value
    /// of `REKEY_CRASH_AT`.
    At(&'static str, String),
}

/// The named points, and the largest number of times that a server passes each before it dies
/// there.
const POINTS: &[(&str, usize)] = &[
    ("accept.drawn", 20),
    ("accept.committed", 20),
    ("claim.committed", 4),
    ("judge.done", 5),
    ("look.done", 5),
    ("announce.open", 4),
    ("announce.committed", 4),
    ("write.under_way", 4),
    ("write.answered", 4),
    ("verify.done", 4),
    ("settle.open", 4),
    ("settle.committed", 4),
    ("store.before_commit", 40),
    ("store.commit_under_way", 40),
    ("store.committed", 40),
];

/// The milliseconds for which the thread stands still at the point, while the other threads go on.
const LINGER: [usize; 5] = [0, 0, 1, 4, 15];

impl Kill {
    /// Dies at a named point in every other cycle, each point in turn, and otherwise at a random
    /// time.
    pub(super) fn of(cycle: usize) -> Result<Self> {
        if cycle.is_multiple_of(2) {
            return Ok(Self::AnyTime(Duration::from_millis(below(900)? as u64)));
        }
        let (point, _) = POINTS.get(cycle / 2 % POINTS.len()).ok_or("no point")?;
        Self::at(point)
    }

    /// Dies at this point, after a random number of passes.
    pub(super) fn at(point: &str) -> Result<Self> {
        let named = POINTS.iter().find(|(name, _)| *name == point);
        let (point, most) = named.ok_or("no point has this name")?;
        let linger = LINGER.get(below(LINGER.len())?).ok_or("no time")?;
        Ok(Self::At(point, format!("{point}:{}:{linger}", 1 + below(*most)?)))
    }

    /// Dies right before a commit, which is then never made, with 30 ms in which its answer can
    /// still arrive.
    pub(super) fn before_commit() -> Result<Self> {
        let point = "store.before_commit";
        Ok(Self::At(point, format!("{point}:{}:30", 5 + below(60)?)))
    }
}

/// The names of all points.
pub(super) fn points() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|(name, _)| *name)
}
