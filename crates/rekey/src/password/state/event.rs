//! The events and the effects of the state machine.

/// An event: something that happened to a target or was found out about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The intent to write was committed: from here on the write may have happened.
    Announced,
    /// The write was sent, and no answer came.
    AnswerLost,
    /// The source was removed, or reaches another system now: the password must not be sent there.
    Cancelled,
    /// The source cannot say whether the password is in force.
    CannotTell,
    /// The deadline of the change has passed.
    DeadlinePassed,
    /// Another account of the sync group cannot be changed.
    GroupFailed,
    /// Another account of the sync group must wait.
    GroupWaits,
    /// The password is in force.
    InForce,
    /// The write whose outcome is unknown may have happened: the stamp differs, or there is none.
    MayHaveHappened,
    /// The write whose outcome is unknown may still arrive.
    MayStillArrive,
    /// A newer change of the account was accepted.
    NewerAccepted,
    /// The source did not apply the write, but a later write may succeed.
    NotApplied,
    /// The write whose outcome was unknown did not happen: the stamp is the same.
    NotHappened,
    /// Another password is in force, and no stamp says whether it is newer.
    NotInForce,
    /// The account could not be observed, but a later attempt may succeed.
    NotObserved,
    /// A write of an older change may still arrive.
    OlderMayArrive,
    /// The time for the recheck of a password in force has passed.
    RecheckOverdue,
    /// The source, the policy or rekey refused the change permanently.
    Refused,
    /// Another password is in force, and it is newer.
    Replaced,
    /// The source refused the password because it is the current or an earlier one.
    Reused,
    /// No write of an older change may arrive any more.
    Settled,
}

/// The action after a transition. `Confirm`, `Retry`, `Yield` and `End` end the attempt and record
/// the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Observe the account.
    Observe,
    /// Verify whether the password is in force.
    Verify,
    /// Commit the intent to write, and report [`Event::Announced`].
    Announce,
    /// Write the password.
    Write,
    /// In the transaction that records the state, report [`Event::Settled`], unless a write of an
    /// older change may still arrive before the deadline. In that case, come back when it no longer
    /// can.
    Confirm,
    /// Try again after a pause.
    Retry,
    /// In the transaction that records the state, report [`Event::NewerAccepted`] if a newer change
    /// waits for the account; otherwise try again after a pause.
    Yield,
    /// No action: the target has ended.
    End,
}

impl Effect {
    /// Whether the attempt is over for the target.
    pub const fn ends_attempt(self) -> bool {
        match self {
            Self::Confirm | Self::End | Self::Retry | Self::Yield => true,
            Self::Announce | Self::Observe | Self::Verify | Self::Write => false,
        }
    }

    /// Whether the target needs a pause before the next attempt.
    pub const fn waits(self) -> bool {
        matches!(self, Self::Retry | Self::Yield)
    }
}
