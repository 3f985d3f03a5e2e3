//! How the server dies in one cycle.

use std::time::Duration;

use rekey_harness::Result;

use crate::model::load::below;

/// How it dies.
pub(super) enum Kill {
    /// By our hand, so long after it was ready.
    AnyTime(Duration),
    /// By its own, at a point that only a proof build has; as `REKEY_CRASH_AT` says it.
    At(&'static str, String),
}

/// The points, and how often each is passed at most before the server dies there.
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

/// Milliseconds for which the thread stands still there, while the others go on.
const LINGER: [usize; 5] = [0, 0, 1, 4, 15];

impl Kill {
    /// Every other cycle at a point, one after the other; else at any time.
    pub(super) fn of(cycle: usize) -> Result<Self> {
        if cycle.is_multiple_of(2) {
            return Ok(Self::AnyTime(Duration::from_millis(below(900)? as u64)));
        }
        let (point, _) = POINTS.get(cycle / 2 % POINTS.len()).ok_or("no point")?;
        Self::at(point)
    }

    /// At this point, after it was passed a random number of times.
    pub(super) fn at(point: &str) -> Result<Self> {
        let named = POINTS.iter().find(|(name, _)| *name == point);
        let (point, most) = named.ok_or("no point has this name")?;
        let linger = LINGER.get(below(LINGER.len())?).ok_or("no time")?;
        Ok(Self::At(point, format!("{point}:{}:{linger}", 1 + below(*most)?)))
    }

    /// Right before a commit that is then never made, with time to be told of it.
    pub(super) fn before_commit() -> Result<Self> {
        let point = "store.before_commit";
        Ok(Self::At(point, format!("{point}:{}:30", 5 + below(60)?)))
    }
}

/// The points' names.
pub(super) fn points() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|(name, _)| *name)
}
