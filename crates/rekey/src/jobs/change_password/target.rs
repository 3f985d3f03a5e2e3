//! One account of a change: observed, written, verified. What happens becomes an event of the state
//! machine, which decides.

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

/// How long observing a target may take, and verifying it afterwards: with the wait for room it
/// ends before the claim does.
const OBSERVE_WITHIN: Duration = Duration::from_secs(10);

/// One account and what is being done with it.
pub(super) struct Target {
    /// What the store has of it.
    pub(super) row: ClaimedTarget,
    /// Its state now; `row` has the one at the claim.
    pub(super) state: TargetState,
    /// When a write was announced in this attempt, if one was.
    pub(super) announced: Option<Micros>,
    /// How long it asked to be left alone.
    pub(super) asked: Option<Duration>,
    /// The way to it, or why there is none.
    pub(super) link: Result<Arc<SourceHandle>, String>,
    /// What it must show to be the person's.
    pub(super) owner: Option<Owner>,
    /// Whether its source's last aggregation confirmed whose it is.
    pub(super) is_confirmed: bool,
    /// The end of this attempt, once it has ended for this account.
    pub(super) result: Option<AttemptResult>,
    /// The stamp last observed.
    pub(super) stamp: Stamp,
    /// The random bytes of this change on this account.
    pub(super) salt: [u8; 16],
}

/// The end of an attempt for one account.
pub(super) struct AttemptResult {
    /// What is to be done when it is recorded.
    pub(super) effect: Effect,
    /// What is wrong.
    pub(super) why: Option<String>,
}

/// The value by which an account names its person.
pub(super) struct Owner {
    /// The account's attribute.
    pub(super) attribute: String,
    /// The person's value.
    pub(super) value: String,
    /// Whether the system compares values without regard to ASCII case.
    pub(super) ignores_case: bool,
}

impl Target {
    /// Whether a write is due: it was observed, and nothing was found in its way.
    pub(super) fn is_ready(&self) -> bool {
        self.state.is_open() && self.result.is_none()
    }

    /// Applies an event. If that ends the attempt for this account, `why` is what its status says.
    pub(super) fn apply(
        &mut self,
        event: Event,
        why: impl Into<Option<String>>,
    ) -> Result<Effect, Illegal> {
        let (state, effect) = self.state.next(event)?;
        self.state = state;
        if effect.ends_attempt() {
            // Nothing is wrong with a password that is in force.
            let why = why.into().filter(|_| effect != Effect::Confirm);
            self.result = Some(AttemptResult { effect, why });
        }
        Ok(effect)
    }

    /// Whether it needs a pause before the next attempt.
    pub(super) fn waits(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.effect.waits())
    }

    /// How much longer a write of an older change may overwrite its password, which was found in
    /// force.
    pub(super) fn unsettled(&self, change: &Claimed, now: Micros) -> Option<Duration> {
        let confirm = self.result.as_ref().is_some_and(|result| result.effect == Effect::Confirm);
        times::settles(self.row.unresolved_write_at, now)
            .filter(|_| confirm && now < change.deadline)
    }

    /// A fault instead of an answer.
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

    /// Why the account that was observed is not the person's, if it is not.
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

/// Observes for no longer than [`OBSERVE_WITHIN`]; `now` is when the change was claimed.
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
        // The words are for the person who asked: they say nothing about where the source is.
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

/// Observes a target without changing it; resolves a write whose answer was lost, and one that
/// another write may have replaced.
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

/// Holds back the members of a sync group that are ready, while another one is not.
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

/// Writes what was announced at `announced`, and verifies what the target confirmed.
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
            // It was confirmed; that it cannot be verified in time takes nothing from that.
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

/// Until when what was announced then may be verified: the claim still has to be there afterwards.
fn verified_by(announced: Instant) -> Instant {
    (announced + VERIFIED_BY).min(Instant::now() + OBSERVE_WITHIN)
}

/// Verifies what the source confirmed: the event, and why where it is a bad one.
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
        // It was confirmed; that it cannot be verified just now takes nothing from that.
        Err(_) => (Event::InForce, None),
    }
}
