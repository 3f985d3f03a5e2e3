//! The state machine of a password change: the only place that decides the next state.
//!
//! A change has one target for each of its accounts. Workers and the store report what happened to
//! a target as an [`Event`], and carry out the [`Effect`] that [`TargetState::next`] returns with
//! the next state. A change ends when all its targets have ended
//! ([`crate::model::change::Outcome::of`]). This module does no I/O and reads no clock.

pub use self::event::{Effect, Event};
use self::table::TABLE;
use crate::{Error, model::change::TargetState, store};

mod event;
mod table;
#[cfg(test)]
mod tests;

/// Returns the state of a target after its change was cancelled; the store records it.
pub fn cancelled(state: TargetState) -> store::Result<TargetState> {
    Ok(state.next(Event::Cancelled)?.0)
}

impl TargetState {
    /// Returns the state after `event` and the effect to carry out now.
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

/// Returns the event that keeps a sync group from being written, or `None` if it may be written. No
/// member is written before every member is ready; once one member may have been written, the
/// others follow independently.
///
/// `members` yields for each member its state at the claim, its state now, and whether it waits.
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
