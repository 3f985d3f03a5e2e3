//! The transition table. A row names the states it applies to, the event, the next state and the
//! effect. A pair of state and event without a row is illegal.

use super::{
    Effect::{self, Announce, Confirm, End, Observe, Retry, Verify, Write, Yield},
    Event::{
        self, Announced, AnswerLost, Cancelled, CannotTell, DeadlinePassed, GroupFailed,
        GroupWaits, InForce, MayHaveHappened, MayStillArrive, NewerAccepted, NotApplied,
        NotHappened, NotInForce, NotObserved, OlderMayArrive, RecheckOverdue, Refused, Replaced,
        Reused, Settled,
    },
};
use crate::model::change::TargetState::{
    self, Applied, Attempting, AwaitingRecheck, Failed, Queued, Restoring, Rewriting, Superseded,
    Writing,
};

type Row = (&'static [TargetState], Event, TargetState, Effect);

pub(super) const TABLE: &[Row] = &[
    // Before the source is observed.
    (&[Queued], DeadlinePassed, Failed, End),
    (&[Attempting], DeadlinePassed, Failed, End),
    (&[AwaitingRecheck], DeadlinePassed, AwaitingRecheck, Observe),
    (&[Queued, Attempting, AwaitingRecheck], RecheckOverdue, Failed, End),
    (&[Queued], OlderMayArrive, Queued, Yield),
    (&[Attempting], OlderMayArrive, Attempting, Observe),
    (&[AwaitingRecheck], OlderMayArrive, AwaitingRecheck, Observe),
    // What the observation showed. A write is repeated only if the earlier one is known not to have
    // happened, or cannot be distinguished from one that was overwritten.
    (&[Queued], NotObserved, Queued, Yield),
    (&[Attempting], NotObserved, Attempting, Retry),
    (&[AwaitingRecheck], NotObserved, AwaitingRecheck, Retry),
    (&[Queued], NotHappened, Queued, Announce),
    (&[Queued], MayHaveHappened, Queued, Announce),
    (&[Queued], MayStillArrive, Queued, Announce),
    (&[Attempting], NotHappened, Attempting, Announce),
    (&[Attempting], MayHaveHappened, Attempting, Verify),
    (&[Attempting], MayStillArrive, Attempting, Retry),
    (&[AwaitingRecheck], NotHappened, AwaitingRecheck, Announce),
    (&[AwaitingRecheck], MayHaveHappened, AwaitingRecheck, Verify),
    (&[AwaitingRecheck], MayStillArrive, AwaitingRecheck, Retry),
    (&[Attempting], NotInForce, Attempting, Announce),
    (&[Attempting], Replaced, Failed, End),
    (&[Attempting], CannotTell, Failed, End),
    (&[AwaitingRecheck], NotInForce, AwaitingRecheck, Announce),
    (&[AwaitingRecheck], Replaced, AwaitingRecheck, Announce),
    (&[AwaitingRecheck], CannotTell, AwaitingRecheck, Confirm),
    (&[Attempting, AwaitingRecheck], InForce, AwaitingRecheck, Confirm),
    (&[AwaitingRecheck], Settled, Applied, End),
    // Reasons not to write. A password that is in force stays in force.
    (&[Queued, Attempting], Refused, Failed, End),
    (&[AwaitingRecheck], Refused, AwaitingRecheck, Confirm),
    (&[Queued], GroupFailed, Failed, End),
    (&[Queued], GroupWaits, Queued, Yield),
    (&[Queued], NewerAccepted, Superseded, End),
    (&[Queued, Attempting, AwaitingRecheck], Cancelled, Failed, End),
    // The write. An earlier write with an unknown outcome may still arrive, and may be the reason
    // why the source refuses this one as reused.
    (&[Queued], Announced, Writing, Write),
    (&[Attempting], Announced, Rewriting, Write),
    (&[AwaitingRecheck], Announced, Restoring, Write),
    (&[Writing, Rewriting, Restoring], InForce, AwaitingRecheck, Confirm),
    (&[Writing, Rewriting, Restoring], Replaced, Failed, End),
    (&[Writing, Rewriting, Restoring], Refused, Failed, End),
    (&[Writing, Rewriting, Restoring], AnswerLost, Attempting, Retry),
    (&[Writing, Restoring], NotApplied, Queued, Yield),
    (&[Rewriting], NotApplied, Attempting, Retry),
    (&[Writing], Reused, Failed, End),
    (&[Rewriting], Reused, Rewriting, Verify),
    (&[Restoring], Reused, Restoring, Verify),
];
