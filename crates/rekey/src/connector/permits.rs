//! Permits: how many changes are under way on each source, and how many more may begin.
//!
//! The free workers are divided among the queues of due changes, one change at a time and the queue
//! that has been due longest first, so that neither a full source nor a long queue takes capacity
//! that others could use. A change of several sources needs one permit of each at the same time.
//! Such changes hold at most half of a source's permits, since one slow member keeps the permits of
//! the others waiting. One permit of a source is reserved for them while they wait, since a busy
//! source would otherwise never have a free permit at the same moment as the others. The permit of
//! a source that has only one is reserved against changes that are due later, and against no
//! others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{model::id::SourceId, store::DueQueue};

/// The changes under way on each source; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Permits(Arc<Mutex<HashMap<SourceId, Held>>>);

/// How many changes are under way on a source, and how many of these are also on other sources.
#[derive(Clone, Copy, Default)]
struct Held {
    all: usize,
    shared: usize,
}

/// The permits of one change on its sources. Dropping it returns them.
pub struct Permit {
    permits: Permits,
    sources: Vec<SourceId>,
}

/// The remaining capacity of a source.
#[derive(Clone, Copy)]
struct Free {
    /// How many changes may be under way in total.
    most: usize,
    all: usize,
    /// How many of these may be changes of several sources.
    shared: usize,
    /// How many of these are reserved for changes of several sources.
    kept: usize,
}

impl Permits {
    /// Returns how many changes may be claimed from each queue: at most `workers` in total, and at
    /// most `most(source)` under way on each source. Queues without room are left out.
    pub(super) fn divide(
        &self,
        due: &[DueQueue],
        mut workers: usize,
        most: impl Fn(&SourceId) -> usize,
    ) -> Vec<(String, i64)> {
        let queues: Vec<_> = due.iter().map(|queue| sources(&queue.source_set)).collect();
        let mut free = self.free(&queues, most);
        let mut rooms = vec![0_i64; queues.len()];
        loop {
            let before = workers;
            for (sources, room) in queues.iter().zip(&mut rooms) {
                if workers > 0 && take(&mut free, sources) {
                    workers -= 1;
                    *room += 1;
                } else if *room == 0 && sources.len() > 1 {
                    keep_single(&mut free, sources);
                }
            }
            if workers == before || workers == 0 {
                break;
            }
        }
        let names = due.iter().map(|queue| queue.source_set.clone());
        names.zip(rooms).filter(|(_, room)| *room > 0).collect()
    }

    /// Takes the permits of a change that was claimed within the limits of [`Permits::divide`].
    pub(super) fn hold(&self, source_set: &str) -> Permit {
        let sources = sources(source_set);
        let shared = usize::from(sources.len() > 1);
        let mut held = self.held();
        for source in &sources {
            let held = held.entry(source.clone()).or_default();
            held.all += 1;
            held.shared += shared;
        }
        Permit { permits: self.clone(), sources }
    }

    /// Takes the permits of a change that was claimed without regard to them; `None` if a source is
    /// full.
    pub(super) fn try_hold(
        &self,
        source_set: &str,
        most: impl Fn(&SourceId) -> usize,
    ) -> Option<Permit> {
        let held = self.held();
        let under_way = |source| held.get(source).map_or(0, |held| held.all);
        let has_room = sources(source_set).iter().all(|source| under_way(source) < most(source));
        drop(held);
        has_room.then(|| self.hold(source_set))
    }

    fn free(
        &self,
        queues: &[Vec<SourceId>],
        most: impl Fn(&SourceId) -> usize,
    ) -> HashMap<SourceId, Free> {
        let held = self.held();
        let mut free = HashMap::new();
        for source in queues.iter().flatten() {
            let Held { all, shared } = held.get(source).copied().unwrap_or_default();
            free.entry(source.clone()).or_insert_with(|| {
                let most = most(source);
                Free {
                    most,
                    all: most.saturating_sub(all),
                    shared: most.div_ceil(2).saturating_sub(shared),
                    kept: 0,
                }
            });
        }
        for sources in queues.iter().filter(|sources| sources.len() > 1) {
            if sources.iter().any(|source| most(source) == 0) {
                // A member of this queue takes no change now, so that no change of the queue can
                // begin soon.
                continue;
            }
            for source in sources {
                let nothing_shared = held.get(source).is_none_or(|held| held.shared == 0);
                if let Some(free) = free.get_mut(source).filter(|_| most(source) > 1) {
                    free.kept = usize::from(nothing_shared);
                }
            }
        }
        free
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SourceId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = usize::from(self.sources.len() > 1);
        let mut all = self.permits.held();
        for source in &self.sources {
            if let Some(held) = all.get_mut(source) {
                held.all = held.all.saturating_sub(1);
                held.shared = held.shared.saturating_sub(shared);
            }
            if all.get(source).is_some_and(|held| held.all == 0) {
                all.remove(source);
            }
        }
    }
}

/// Takes one place on every source of a queue, if each of them has one.
fn take(free: &mut HashMap<SourceId, Free>, sources: &[SourceId]) -> bool {
    let shared = sources.len() > 1;
    let fits = |source| {
        free.get(source).is_some_and(|free| {
            // A reserved single permit belongs to another group, which has waited longer.
            let is_kept = free.most == 1 && free.kept > 0;
            if shared { free.all > 0 && free.shared > 0 && !is_kept } else { free.all > free.kept }
        })
    };
    if !sources.iter().all(fits) {
        return false;
    }
    for source in sources {
        if let Some(free) = free.get_mut(source) {
            free.all -= 1;
            if shared {
                (free.shared, free.kept) = (free.shared - 1, 0);
            }
        }
    }
    true
}

/// Reserves the single permits of sources for a group that has to wait for another member. The
/// queues after it are due later, and would otherwise take these permits first for as long as both
/// sources are busy. Nothing is reserved for a group that cannot begin soon, or not before an older
/// group.
fn keep_single(free: &mut HashMap<SourceId, Free>, sources: &[SourceId]) {
    let waits_for_others = |free: &Free| free.most == 0 || (free.most == 1 && free.kept > 0);
    if sources.iter().any(|source| free.get(source).is_none_or(waits_for_others)) {
        return;
    }
    for source in sources {
        if let Some(free) = free.get_mut(source).filter(|free| free.most == 1) {
            free.kept = 1;
        }
    }
}

/// Splits the name of a queue into its sources.
fn sources(source_set: &str) -> Vec<SourceId> {
    source_set.split_whitespace().map(|id| SourceId(id.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Micros;

    fn due(names: &[&str]) -> Vec<DueQueue> {
        let queue = |(at, name): (usize, &&str)| DueQueue {
            source_set: (*name).to_owned(),
            due: Micros(i64::try_from(at).unwrap()),
        };
        names.iter().enumerate().map(queue).collect()
    }

    fn divided(permits: &Permits, names: &[&str], workers: usize, most: usize) -> Vec<i64> {
        let rooms = permits.divide(&due(names), workers, |source| {
            if source.as_str().starts_with("down") { 0 } else { most }
        });
        let room = |name: &&str| rooms.iter().find(|(queue, _)| queue == name).map_or(0, |r| r.1);
        names.iter().map(room).collect()
    }

    #[test]
    fn a_queue_gets_no_more_than_its_source_has_permits() {
        let permits = Permits::default();
        assert_eq!(divided(&permits, &["a"], 64, 8), [8]);
        let held: Vec<_> = (0..5).map(|_| permits.hold("a")).collect();
        assert_eq!(divided(&permits, &["a", "b"], 64, 8), [3, 8]);
        let full: Vec<_> = (0..3).map(|_| permits.hold("a")).collect();
        assert_eq!(divided(&permits, &["a", "b"], 64, 8), [0, 8]);
        assert!(permits.try_hold("a", |_| 8).is_none());
        drop((held, full));
        assert!(permits.try_hold("a", |_| 8).is_some());
        assert_eq!(divided(&permits, &["a"], 64, 8), [8]);
        assert!(permits.held().is_empty());
    }

    #[test]
    fn workers_are_shared_evenly_and_the_longest_due_come_first() {
        let permits = Permits::default();
        assert_eq!(divided(&permits, &["a", "b", "c"], 7, 8), [3, 2, 2]);
        assert_eq!(divided(&permits, &["a", "b", "c"], 2, 8), [1, 1, 0]);
        assert_eq!(divided(&permits, &["down", "a"], 2, 8), [0, 2]);
    }

    #[test]
    fn a_group_needs_a_permit_of_every_member_and_takes_at_most_half() {
        let permits = Permits::default();
        assert_eq!(divided(&permits, &["a b"], 64, 8), [4]);
        assert_eq!(divided(&permits, &["a down", "a"], 64, 8), [0, 8]);
        // Both groups share the half of `a`'s permits.
        assert_eq!(divided(&permits, &["a b", "a c"], 64, 8), [2, 2]);
        let slow: Vec<_> = (0..4).map(|_| permits.hold("a b")).collect();
        assert_eq!(divided(&permits, &["a b", "a", "b"], 64, 8), [0, 4, 4]);
        drop(slow);
    }

    #[test]
    fn one_permit_is_kept_for_a_waiting_group() {
        let permits = Permits::default();
        let full: Vec<_> = (0..8).map(|_| permits.hold("b")).collect();
        assert_eq!(divided(&permits, &["a", "a b", "b"], 64, 8), [7, 0, 0]);
        let others: Vec<_> = (0..7).map(|_| permits.hold("a")).collect();
        // However often the others are divided, the permit is still free when `b` has one, too.
        assert_eq!(divided(&permits, &["a", "a b", "b"], 64, 8), [0, 0, 0]);
        drop(full);
        assert_eq!(divided(&permits, &["a", "a b", "b"], 64, 8), [0, 1, 7]);
        drop(others);
        // A source with one permit does not reserve it against its own older changes, and nothing
        // is reserved for a group that cannot begin.
        assert_eq!(divided(&permits, &["a"], 64, 1), [1]);
        assert_eq!(divided(&permits, &["a", "a down"], 64, 8), [8, 0]);
        let slow = permits.hold("b");
        assert_eq!(divided(&permits, &["a", "a b"], 64, 1), [1, 0]);
        drop(slow);
    }

    #[test]
    fn a_group_that_waited_longest_has_its_turn_on_sources_with_one_permit() {
        let permits = Permits::default();
        let (one, two) = (permits.hold("a"), permits.hold("b"));
        drop(one);
        // Changes that are due later wait until both sources are free, and so does another group.
        assert_eq!(divided(&permits, &["a b", "a", "b"], 64, 1), [0, 0, 0]);
        assert_eq!(divided(&permits, &["a b", "a c", "c"], 64, 1), [0, 0, 1]);
        assert_eq!(divided(&permits, &["a", "a b", "b"], 64, 1), [1, 0, 0]);
        assert_eq!(divided(&permits, &["a down", "a"], 64, 1), [0, 1]);
        drop(two);
        assert_eq!(divided(&permits, &["a b", "a", "b"], 64, 1), [1, 0, 0]);
        assert_eq!(divided(&permits, &["a", "a b", "b"], 64, 1), [1, 0, 0]);
    }
}
