//! One account of a change: it is observed, written and verified. Each result is reported as an
//! event to the state machine, which decides.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use rekey_connectors::{
    Account, Change, Fault, FaultKind, Observed, Outcome, Stamp, Verdict, Verification,
    another_account,
};
use rekey_vault::Password;
use tokio::time::{Instant, timeout, timeout_at};

use super::times::{self, VERIFIED_BY, WRITE_BY};
use crate::{
    account::correlation::is_equal,
    connector::SourceHandle,
    model::{change::TargetState, time::Micros},
    password::{
        state::{Effect, Event, Illegal, group_event},
        verdict,
    },
    proof,
    store::{Claimed, ClaimedTarget},
};

/// Limit for observing a target, and for verifying it afterwards: both end before the claim does.
const OBSERVE_WITHIN: Duration = Duration::from_secs(10);

/// One account of a change and the progress of the attempt on it.
pub(super) struct Target {
    /// The target as the store had it at the claim.
    pub(super) row: ClaimedTarget,
    /// The state now; `row` has the state at the claim.
    pub(super) state: TargetState,
    /// When a write was announced in this attempt, if one was.
    pub(super) announced: Option<Micros>,
    /// Least pause before the next attempt: the source asked for it, or an earlier write may
    /// arrive.
    pub(super) asked: Option<Duration>,
    /// The handle of the source, or the reason why there is none.
    pub(super) link: Result<Arc<SourceHandle>, String>,
    /// The value that the account must show to belong to the person, if one is required.
    pub(super) owner: Option<Owner>,
    /// Whether an aggregation has confirmed the owner since the source was last pointed elsewhere.
    pub(super) is_confirmed: bool,
    /// The result of this attempt, once the attempt has ended for this account.
    pub(super) result: Option<AttemptResult>,
    /// The stamp last observed.
    pub(super) stamp: Stamp,
    /// The random salt of this change on this account.
    pub(super) salt: [u8; 16],
}

/// The result of an attempt for one account.
pub(super) struct AttemptResult {
    /// The effect to carry out when the result is recorded.
    pub(super) effect: Effect,
    /// The error text of the status, if there is one.
    pub(super) why: Option<String>,
}

/// The correlation value by which an account names its person.
pub(super) struct Owner {
    /// The name of the account's attribute.
    pub(super) attribute: String,
    /// The value of the person's attribute.
    pub(super) value: String,
    /// Whether the system compares values without regard to ASCII case.
    pub(super) ignores_case: bool,
}

impl Target {
    /// Whether a write is due: the target is open, and nothing has ended the attempt for it.
    pub(super) fn is_ready(&self) -> bool {
        self.state.is_open() && self.result.is_none()
    }

    /// Applies an event. If it ends the attempt for this account, `why` becomes the error text of
    /// its status.
    pub(super) fn apply(
        &mut self,
        event: Event,
        why: impl Into<Option<String>>,
    ) -> Result<Effect, Illegal> {
        let (state, effect) = self.state.next(event)?;
        self.state = state;
        if effect.ends_attempt() {
            // A password in force has no error.
            let why = why.into().filter(|_| effect != Effect::Confirm);
            self.result = Some(AttemptResult { effect, why });
        }
        Ok(effect)
    }

    /// Whether the target needs a pause before the next attempt.
    pub(super) fn waits(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.effect.waits())
    }

    /// Returns how much longer a write of an older change may overwrite the password, which was
    /// found in force; `None` if no write can, or the deadline has passed.
    pub(super) fn unsettled(&self, change: &Claimed, now: Micros) -> Option<Duration> {
        let confirm = self.result.as_ref().is_some_and(|result| result.effect == Effect::Confirm);
        times::settles(self.row.unresolved_write_at, now)
            .filter(|_| confirm && now < change.deadline)
    }

    /// Applies the event for a fault that replaced an observation.
    fn not_observed(&mut self, fault: &Fault) -> Result<(), Illegal> {
        self.apply(verdict::not_observed(fault), fault.public().to_owned()).map(drop)
    }

    fn failed(&mut self, link: &SourceHandle, fault: &Fault) {
        self.asked = self.asked.max(fault.retry_after);
        if fault.is_outage() {
            link.failed(fault);
        }
    }

    fn account(&self) -> Account<'_> {
        Account {
            native_identity: &self.row.native_identity,
            stable_id: self.row.stable_id.as_deref(),
            correlated_by: self.owner.as_ref().map(|owner| owner.attribute.as_str()),
        }
    }

    /// Returns a fault if the observed account does not belong to the person.
    fn is_anothers(&self, observed: &Observed) -> Option<Fault> {
        if self.row.stable_id.is_some() && self.row.stable_id != observed.stable_id {
            return Some(another_account());
        }
        let owner = self.owner.as_ref()?;
        let names_them = |value: &String| is_equal(value, &owner.value, owner.ignores_case);
        if !owner.value.trim().is_empty() && observed.correlation.iter().any(names_them) {
            return None;
        }
        Some(Fault::new(
            FaultKind::NoAccount,
            format!(
                "the account no longer names its person in {}: aggregate the source",
                owner.attribute
            ),
        ))
    }

    fn change<'a>(&'a self, password: &'a Password) -> Change<'a> {
        let account = self.account();
        Change { account, password, salt: self.salt }
    }
}

/// Observes a target for at most [`OBSERVE_WITHIN`], unless it may not be observed now. `now` is
/// the time of the claim.
pub(super) async fn observe(
    target: &mut Target,
    password: &Password,
    now: Micros,
) -> Result<(), Illegal> {
    if !target.is_ready() {
        return Ok(());
    }
    if let Some(left) = times::may_arrive(target.row.unresolved_write_at, now) {
        let why = "a write of an older change may still arrive".to_owned();
        if target.apply(Event::OlderMayArrive, why)? != Effect::Observe {
            target.asked = Some(left);
            return Ok(());
        }
    }
    if !target.is_confirmed {
        // The requester reads this text: it must not reveal where the source is.
        return target.apply(Event::NotObserved, UNCONFIRMED.to_owned()).map(drop);
    }
    if let Ok(observed) = timeout(OBSERVE_WITHIN, observe_and_resolve(target, password, now)).await
    {
        return observed;
    }
    let fault = Fault::new(FaultKind::Unreachable, IN_TIME);
    if let Ok(link) = target.link.clone() {
        target.failed(&link, &fault);
    }
    target.not_observed(&fault)
}

const GIVEN_AWAY: &str = "the account became another person's while its password was changed: change the password everywhere else, and aggregate the source";

const IN_TIME: &str = "the source did not answer in time";

const UNCONFIRMED: &str = "waiting for an aggregation of the source to confirm whose account it is";

/// Observes a target without changing it. Resolves a write whose answer was lost, and a write that
/// another one may have overwritten.
async fn observe_and_resolve(
    target: &mut Target,
    password: &Password,
    now: Micros,
) -> Result<(), Illegal> {
    let link = match &target.link {
        Ok(link) => link.clone(),
        Err(why) => {
            let why = why.clone();
            return target.apply(Event::Refused, why).map(drop);
        }
    };
    let stamp = match link.looked(link.connector.observe(&target.account())).await {
        Ok(observed) => match target.is_anothers(&observed) {
            None => observed.stamp,
            Some(fault) => {
                link.answered();
                return target.not_observed(&fault);
            }
        },
        Err(fault) => {
            target.failed(&link, &fault);
            tracing::warn!(error = &fault as &dyn StdError, "a source cannot be observed");
            return target.not_observed(&fault);
        }
    };
    link.answered();
    let left = times::may_arrive(target.row.announced, now);
    let event = if proof::asks_for("blind_retry") {
        Event::NotHappened
    } else {
        verdict::observed(&target.stamp, &stamp, left.is_some())
    };
    match target.apply(event, "the answer of the source was lost".to_owned())? {
        Effect::Retry => target.asked = target.asked.max(left),
        Effect::Verify => {
            match link.verified(link.connector.verify(&target.change(password))).await {
                Ok(found) => {
                    let (event, why) = verdict::resolved(found, target.stamp.is_known());
                    target.apply(event, why.map(str::to_owned))?;
                }
                Err(fault) => target.not_observed(&fault)?,
            }
        }
        Effect::Announce
        | Effect::Confirm
        | Effect::End
        | Effect::Observe
        | Effect::Write
        | Effect::Yield => {}
    }
    target.stamp = stamp;
    Ok(())
}

/// Holds back the ready members of a sync group while another member waits. If another member has
/// failed, the ready and the waiting members fail, too.
pub(super) fn hold_back(targets: &mut [Target]) -> Result<(), Illegal> {
    let members = targets.iter().map(|target| (target.row.state, target.state, target.waits()));
    let (event, why) = match group_event(members) {
        None => return Ok(()),
        Some(event @ Event::GroupFailed) => {
            (event, "not attempted, since another system of the sync group cannot be changed")
        }
        Some(event) => (event, "waiting for another system of the sync group"),
    };
    let failed = event == Event::GroupFailed;
    for target in targets.iter_mut().filter(|target| target.is_ready() || failed && target.waits())
    {
        target.apply(event, why.to_owned())?;
    }
    Ok(())
}

/// Sends the write that was announced at `announced`, and verifies it if the source confirms it.
pub(super) async fn write(
    target: &mut Target,
    password: &Password,
    announced: Instant,
) -> Result<(), Illegal> {
    let Ok(link) = target.link.clone() else { return Ok(()) };
    let change = target.change(password);
    let by = (announced + WRITE_BY).into_std();
    proof::crash_soon("write.under_way");
    let outcome = link.wrote(link.connector.apply(&change, &target.stamp, by)).await;
    proof::crash_at("write.answered");
    let (event, why) = match outcome {
        Outcome::Applied => {
            link.answered();
            let confirmed = confirm(&link, target, &change);
            // The source confirmed the write: a verification that takes too long does not refute
            // it.
            let confirmed = timeout_at(verified_by(announced), confirmed).await;
            let (event, why) = confirmed.unwrap_or((Event::InForce, None));
            (event, why.map(str::to_owned))
        }
        Outcome::NotApplied(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "a source did not change a password");
            target.failed(&link, &fault);
            (verdict::not_applied(&fault), Some(fault.public().to_owned()))
        }
        Outcome::Rejected(rejection) => {
            link.answered();
            let event = if rejection.reused { Event::Reused } else { Event::Refused };
            if target.apply(event, rejection.message.clone())? != Effect::Verify {
                return Ok(());
            }
            let change = target.change(password);
            let verified = link.verified(link.connector.verify(&change));
            match timeout_at(verified_by(announced), verified).await {
                Ok(Ok(Verdict::Yes)) => (Event::InForce, None),
                Ok(Ok(Verdict::CannotTell | Verdict::No)) => {
                    (Event::Refused, Some(rejection.message))
                }
                Ok(Err(fault)) => (Event::AnswerLost, Some(fault.public().to_owned())),
                Err(_) => (Event::AnswerLost, Some(IN_TIME.to_owned())),
            }
        }
        Outcome::Unknown(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "the answer of a source was lost");
            target.failed(&link, &fault);
            (Event::AnswerLost, Some(fault.public().to_owned()))
        }
    };
    target.apply(event, why).map(drop)
}

/// Returns the time until which a write may be verified: the claim must still hold afterwards.
fn verified_by(announced: Instant) -> Instant {
    (announced + VERIFIED_BY).min(Instant::now() + OBSERVE_WITHIN)
}

/// Verifies a write that the source confirmed. Returns the event, with the error text if the write
/// is not in force.
async fn confirm(
    link: &SourceHandle,
    target: &Target,
    change: &Change<'_>,
) -> (Event, Option<&'static str>) {
    let now = if link.verification == Verification::Stamp {
        match link.verified(link.connector.observe(&change.account)).await {
            Ok(now) if target.is_anothers(&now).is_some() => {
                return (Event::Refused, Some(GIVEN_AWAY));
            }
            Ok(now) => Some(now.stamp),
            Err(_) => None,
        }
    } else {
        None
    };
    if verdict::is_confirmed(link.verification, &target.stamp, now.as_ref()) {
        return (Event::InForce, None);
    }
    match link.verified(link.connector.verify(change)).await {
        Ok(found) => verdict::verified(found),
        // The source confirmed the write: a failed verification does not refute it.
        Err(_) => (Event::InForce, None),
    }
}
