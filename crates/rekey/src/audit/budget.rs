//! Budgets for audit rows about attempts that change nothing in the store: refusals and reads.
//!
//! Without a budget, a flood of such attempts would fill the store; with a single budget, a flood
//! of one kind would hide every other kind. Therefore each action has one budget for each party. A
//! budget allows a burst of rows, and regains them one by one. Attempts beyond it are counted, and
//! the count becomes one row as soon as the budget has a row again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::model::time::Micros;

/// Most budgets in use at once, about 300 bytes each. Further parties share the strangers' budget.
const MOST: usize = 10_000;

/// The party whose budget an attempt draws on. Attackers must not be able to invent parties: every
/// variant but `Strangers` holds an id that rekey has given out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A person with capabilities. The burst exceeds the number of passwords that the sign-in
    /// throttle checks in a day, so that each failed sign-in has its row.
    Administrator(String),
    /// A person or a client that exists.
    Known(String),
    /// A caller who reads, and the kind of the data that they read: one row an hour.
    Reader(String, String),
    /// All parties that rekey does not know.
    Strangers,
}

impl Party {
    /// Returns the size of the burst in rows, and the time in which one row is regained.
    const fn allowance(&self) -> (u32, Duration) {
        match self {
            Self::Administrator(_) => (2000, Duration::from_mins(1)),
            Self::Known(_) => (20, Duration::from_mins(10)),
            Self::Reader(..) => (1, Duration::from_hours(1)),
            Self::Strangers => (20, Duration::from_mins(1)),
        }
    }
}

/// The properties that all attempts on one budget share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The action, as in the row.
    pub action: &'static str,
    /// The reason of a refusal; `None` for a read.
    pub why: Option<&'static str>,
    /// The party that owns the budget.
    pub party: Party,
}

/// Attempts beyond a budget, which one row sums up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    /// The budget of the attempts.
    pub key: Key,
    /// The actor of all of them; `several` if they differ.
    pub actor: String,
    /// The object of all of them; `several` if they differ.
    pub object: String,
    /// The number of attempts.
    pub count: u64,
    /// The time of the first attempt.
    pub from: Micros,
    /// The time of the last attempt.
    pub until: Micros,
}

/// The budgets of one node.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<Key, State>>);

struct State {
    /// The time at which the budget will be full again.
    whole: Micros,
    missed: Option<Missed>,
}

impl Budgets {
    /// Takes a row from the budget, or counts the attempt. Returns whether the attempt may be
    /// recorded; without `room` for another pending row it is counted.
    pub(super) fn draw(
        &self,
        mut key: Key,
        actor: &str,
        object: &str,
        now: Micros,
        room: bool,
    ) -> bool {
        let mut states = self.states();
        // Administrators are few, and keep a budget of their own.
        let is_administrator = matches!(key.party, Party::Administrator(_));
        if states.len() >= MOST && !is_administrator && !states.contains_key(&key) {
            key.party = Party::Strangers;
        }
        let state = states.entry(key.clone()).or_insert_with(|| State { whole: now, missed: None });
        // A pending count takes the next row: during a continuous flood, attempts would otherwise
        // take every row that is regained, and the count would never be written.
        if room && state.missed.is_none() && state.take(&key.party, now) {
            return true;
        }
        let missed = state.missed.get_or_insert_with(|| Missed {
            key,
            actor: actor.to_owned(),
            object: object.to_owned(),
            count: 0,
            from: now,
            until: now,
        });
        missed.add(actor, object, now);
        false
    }

    /// Takes the counts whose budgets have a row again; with `all`, every count.
    pub(super) fn due(&self, now: Micros, all: bool) -> Vec<Missed> {
        let mut due = Vec::new();
        self.states().retain(|key, state| {
            if state.missed.is_some() && (state.take(&key.party, now) || all) {
                due.extend(state.missed.take());
            }
            state.missed.is_some() || state.whole > now
        });
        due
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, party: &Party, now: Micros) -> bool {
        let (most, every) = party.allowance();
        // A clock that was set back must not empty a budget for longer than a whole refill takes.
        let spent = now.plus(every * most);
        self.whole = self.whole.clamp(now, spent);
        let whole = self.whole.plus(every);
        if whole > spent {
            return false;
        }
        self.whole = whole;
        true
    }
}

impl Missed {
    fn add(&mut self, actor: &str, object: &str, now: Micros) {
        for (kept, new) in [(&mut self.actor, actor), (&mut self.object, object)] {
            if kept != new {
                "several".clone_into(kept);
            }
        }
        self.count += 1;
        self.until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn key(party: Party) -> Key {
        Key { action: "USER_SIGN_IN", why: Some("no"), party }
    }

    fn drawn(budgets: &Budgets, key: &Key, object: &str, times: u32, now: Micros) -> u32 {
        (0..times).map(|_| u32::from(budgets.draw(key.clone(), "a", object, now, true))).sum()
    }

    #[test]
    fn a_flood_of_strangers_leaves_every_other_budget_whole() {
        let (budgets, now) = (Budgets::default(), Micros(0));
        assert_eq!(drawn(&budgets, &key(Party::Strangers), "unknown", 50_000, now), 20);
        let admin = key(Party::Administrator("admin".into()));
        assert_eq!(drawn(&budgets, &admin, "admin", 2500, now), 2000);
        for name in ["abby", "bob"] {
            assert_eq!(drawn(&budgets, &key(Party::Known(name.into())), name, 50, now), 20);
        }
        let other = Key { action: "CLIENT_TOKEN_ISSUE", ..key(Party::Strangers) };
        assert_eq!(drawn(&budgets, &other, "unknown", 50, now), 20);
    }

    #[test]
    fn a_count_is_due_once_when_its_budget_has_a_row_again() {
        let (budgets, strangers) = (Budgets::default(), key(Party::Strangers));
        drawn(&budgets, &strangers, "one", 25, Micros(0));
        assert_eq!(budgets.due(Micros(0), false), []);
        let later = Micros(0).plus(MINUTE);
        assert_eq!(drawn(&budgets, &strangers, "two", 1, later), 0, "the count goes before");
        let due = budgets.due(later, false);
        let missed = due.first().unwrap();
        assert_eq!((missed.count, missed.from, missed.until), (6, Micros(0), later));
        assert_eq!((missed.actor.as_str(), missed.object.as_str()), ("a", "several"));
        assert_eq!(budgets.due(later, false), [], "it has been taken");
        assert_eq!(drawn(&budgets, &strangers, "one", 1, later), 0, "so has the row");
        assert_eq!(drawn(&budgets, &strangers, "one", 1, later.plus(MINUTE)), 0);
        assert_eq!(budgets.due(later.plus(MINUTE), true).len(), 1);
    }

    #[test]
    fn a_flood_without_end_causes_no_more_rows_than_the_budget_regains() {
        let (budgets, strangers, mut rows) = (Budgets::default(), key(Party::Strangers), 0);
        for second in 0..3600 {
            let now = Micros(0).plus(Duration::from_secs(second));
            rows += drawn(&budgets, &strangers, "unknown", 10, now);
            rows += u32::try_from(budgets.due(now, false).len()).unwrap();
        }
        assert_eq!(rows, 20 + 59);
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let budgets = Budgets::default();
        for n in 0..2 * MOST {
            budgets.draw(key(Party::Known(n.to_string())), "a", "b", Micros(0), true);
        }
        assert!(budgets.states().len() <= MOST + 1);
        budgets.due(Micros(0), true);
        budgets.due(Micros(0).plus(24 * 60 * MINUTE), false);
        assert_eq!(budgets.states().len(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody_for_longer_than_a_refill() {
        let (budgets, strangers) = (Budgets::default(), key(Party::Strangers));
        drawn(&budgets, &strangers, "x", 20, Micros(0).plus(1000 * MINUTE));
        let now = Micros(0);
        assert!(!budgets.draw(strangers.clone(), "a", "x", now, true));
        assert_eq!(budgets.due(now.plus(MINUTE), false).len(), 1);
    }
}
