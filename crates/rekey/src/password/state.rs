//! The state machine of a password change: the one place that decides which state comes next.
//!
//! A change has one target for each account that it is for. Workers and the store report what
//! happened to a target as an [`Event`], and carry out the [`Effect`] that [`TargetState::next`]
//! returns with the next state. A change ends when all its targets have ended: [`crate::model::change::Outcome::of`].
//! Nothing in here does I/O or reads a clock.

pub use self::event::{Effect, Event};
use self::table::TABLE;
use crate::{Error, model::change::TargetState, store};

mod event;
mod table;
#[cfg(test)]
mod tests;

/// The state of a target whose change is cancelled: what the store needs to end it.
pub fn cancelled(state: TargetState) -> store::Result<TargetState> {
    Ok(state.next(Event::Cancelled)?.0)
}

impl TargetState {
    /// The state after `event`, and what is to be done now.
    pub fn next(self, event: Event) -> Result<(Self, Effect), Illegal> {
        let mut rows = TABLE.iter().filter(|row| row.1 == event && row.0.contains(&self));
        rows.next().map(|row| (row.2, row.3)).ok_or(Illegal { state: self, event })
    }
}

/// An event that cannot happen in a state: a bug, or a corrupted store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account of a change is {state:?}, where {event:?} cannot happen")]
pub struct Illegal {
    state: TargetState,
    event: Event,
}

impl From<Illegal> for Error {
    fn from(illegal: Illegal) -> Self {
        Self::Internal(illegal.to_string())
    }
}

impl From<Illegal> for store::Error {
    fn from(illegal: Illegal) -> Self {
        Self::Corrupt(illegal.to_string())
    }
}

/// What keeps a sync group from being written to: nothing is, until every member is ready. Once
/// one member may have been written to, the others follow one by one. `members` are the states
/// at the claim and now, and whether the member waits.
pub fn group_event(
    members: impl IntoIterator<Item = (TargetState, TargetState, bool)>,
) -> Option<Event> {
    let (mut failed, mut waits) = (false, false);
    for (claimed, now, member_waits) in members {
        if claimed.may_be_written() {
            return None;
        }
        failed |= now == TargetState::Failed;
        waits |= member_waits;
    }
    match (failed, waits) {
        (true, _) => Some(Event::GroupFailed),
        (false, true) => Some(Event::GroupWaits),
        (false, false) => None,
    }
}
