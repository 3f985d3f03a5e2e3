//! One account of a change: looked at, written, verified.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use rekey_connectors::{
    Account, Change, Fault, FaultKind, Observed, Outcome, Stamp, Verdict, Verification,
    another_account,
};
use rekey_vault::Password;
use tokio::time::{Instant, timeout, timeout_at};

use super::times::{self, VERIFIED_BY, WRITE_BY};
use crate::{
    clock::Micros,
    password::{
        End, TargetState,
        links::Link,
        verdict::{self, Found, Next},
    },
    proof,
    source::correlation::is_equal,
    store::{Claimed, ClaimedTarget},
};

/// How long looking at a target may take, and verifying it afterwards: with the wait for room it
/// ends before the claim does.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// One account and what is being done with it.
pub(super) struct Target {
    /// What the store has of it.
    pub(super) row: ClaimedTarget,
    /// Where it stood when it was claimed.
    pub(super) state: TargetState,
    /// When a write was announced in this attempt, if one was.
    pub(super) announced: Option<Micros>,
    /// How long it asked to be left alone.
    pub(super) asked: Option<Duration>,
    /// The way to it, or why there is none.
    pub(super) link: Result<Arc<Link>, String>,
    /// What it must show to be the person's.
    pub(super) owner: Option<Owner>,
    /// Whether its source's last aggregation confirmed whose it is.
    pub(super) is_confirmed: bool,
    /// What was found out in this attempt, once it was.
    pub(super) found: Option<Found>,
    /// The stamp last observed.
    pub(super) stamp: Stamp,
    /// The random bytes of this change on this account.
    pub(super) salt: [u8; 16],
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
    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.state.is_open()
    }

    /// Whether a write is due: it was looked at, and nothing was found in its way.
    pub(super) fn is_ready(&self) -> bool {
        self.is_open() && self.found.is_none()
    }

    /// Whether it was in force, and nothing was written to it in this attempt.
    pub(super) fn is_only_looked_at(&self) -> bool {
        self.state == TargetState::Settling && self.announced.is_none()
    }

    /// Ends it with these words, unless the password is in force.
    pub(super) fn fail(&mut self, why: &str) {
        self.found = Some(match self.state {
            TargetState::Settling => Found::Applied,
            TargetState::Applied
            | TargetState::Attempting
            | TargetState::Failed
            | TargetState::Queued
            | TargetState::Superseded => Found::Failed(why.to_owned()),
        });
    }

    /// How much longer its password, which was found in force, is not settled.
    pub(super) fn unsettled(&self, change: &Claimed, now: Micros) -> Option<Duration> {
        let in_force = self.found == Some(Found::Applied) && now < change.deadline;
        times::settles(self.row.left_behind, now).filter(|_| in_force)
    }

    /// When the last write was announced of which its own worker did not find out what became.
    pub(super) fn left_behind(&self) -> Option<Micros> {
        let is_known = !matches!(self.found, None | Some(Found::Unknown(_)));
        self.announced.filter(|_| !is_known).or(self.row.announced)
    }

    /// How a change with these accounts ends, if it does: what would come back later and has ended
    /// all the same stepped aside.
    pub(super) fn end(targets: &[Self]) -> End {
        let steps_aside = |target: &Self| {
            target.state == TargetState::Superseded
                || matches!(target.found, Some(Found::NotYet(_)))
        };
        let fails = |target: &Self| {
            target.state == TargetState::Failed || matches!(target.found, Some(Found::Failed(_)))
        };
        if targets.iter().any(fails) {
            End::Failed
        } else if targets.iter().any(steps_aside) {
            End::Superseded
        } else {
            End::Finished
        }
    }

    fn failed(&mut self, link: &Link, fault: &Fault) {
        self.asked = self.asked.max(fault.retry_after);
        if fault.is_transient() {
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

/// Looks for no longer than [`LOOK_WITHIN`]; `now` is when the change was claimed.
pub(super) async fn look(target: &mut Target, password: &Password, now: Micros) {
    if !target.is_ready() {
        return;
    }
    let left = times::may_arrive(target.row.left_behind, now);
    if let Some(left) = left.filter(|_| target.state == TargetState::Queued) {
        target.asked = Some(left);
        target.found = Some(Found::NotYet("a write of an older change may still arrive".into()));
        return;
    }
    if !target.is_confirmed {
        // The words are for the person who asked: they say nothing about where the source is.
        let fault = Fault::new(FaultKind::Throttled, UNCONFIRMED);
        target.found = Some(verdict::not_observed(&fault, target.state));
        return;
    }
    if timeout(LOOK_WITHIN, observe(target, password, now)).await.is_err() {
        let fault = Fault::new(FaultKind::Unreachable, IN_TIME);
        if let Ok(link) = target.link.clone() {
            target.failed(&link, &fault);
        }
        target.found = Some(verdict::not_observed(&fault, target.state));
    }
}

const GIVEN_AWAY: &str = "the account became another person's while its password was changed: change the password everywhere else, and aggregate the source";

const IN_TIME: &str = "the source did not answer in time";

const UNCONFIRMED: &str = "waiting for an aggregation of the source to confirm whose account it is";

/// Looks at a target without changing it; resolves a write whose answer was lost, and one that
/// another may have overwritten.
async fn observe(target: &mut Target, password: &Password, now: Micros) {
    let link = match &target.link {
        Ok(link) => link.clone(),
        Err(why) => {
            let why = why.clone();
            return target.fail(&why);
        }
    };
    let stamp = match link.looked(link.connector.observe(&target.account())).await {
        Ok(observed) => match target.is_anothers(&observed) {
            None => observed.stamp,
            Some(fault) => {
                link.answered();
                target.found = Some(verdict::not_observed(&fault, target.state));
                return;
            }
        },
        Err(fault) => {
            target.failed(&link, &fault);
            tracing::warn!(error = &fault as &dyn StdError, "a source cannot be observed");
            target.found = Some(verdict::not_observed(&fault, target.state));
            return;
        }
    };
    link.answered();
    if matches!(target.state, TargetState::Attempting | TargetState::Settling) {
        let left = times::may_arrive(target.row.announced, now);
        let next = if proof::asks_for("blind_retry") {
            Next::Write
        } else {
            verdict::after_unknown(&target.stamp, &stamp, left.is_some())
        };
        target.found = match next {
            Next::Write => None,
            Next::Wait => {
                target.asked = target.asked.max(left);
                Some(Found::Unknown("the answer of the source was lost".into()))
            }
            Next::Verify => {
                match link.verified(link.connector.verify(&target.change(password))).await {
                    Ok(found) => verdict::resolved(found, target.state, target.stamp.is_known()),
                    Err(fault) => Some(verdict::not_observed(&fault, target.state)),
                }
            }
        };
    }
    target.stamp = stamp;
}

/// Nothing is written to a group until every member is ready; once something was, the rest follow
/// one by one.
pub(super) fn hold_back(targets: &mut [Target]) {
    let written = targets.iter().any(|target| {
        matches!(
            target.state,
            TargetState::Applied | TargetState::Attempting | TargetState::Settling
        ) || target.found == Some(Found::Applied)
    });
    let failed = targets.iter().any(|target| {
        target.state == TargetState::Failed || matches!(target.found, Some(Found::Failed(_)))
    });
    let waits = targets
        .iter()
        .any(|target| matches!(target.found, Some(Found::NotYet(_) | Found::Unknown(_))));
    if written || !(failed || waits) {
        return;
    }
    let called_off = |target: &&mut Target| {
        target.is_ready() || (failed && matches!(target.found, Some(Found::NotYet(_))))
    };
    for target in targets.iter_mut().filter(called_off) {
        target.found = Some(if failed {
            Found::Failed(
                "not attempted, since another system of the sync group cannot be changed".into(),
            )
        } else {
            Found::NotYet("waiting for another system of the sync group".into())
        });
    }
}

/// Writes what was announced at `announced`, and verifies what the target confirmed.
pub(super) async fn write(target: &mut Target, password: &Password, announced: Instant) {
    let Ok(link) = target.link.clone() else { return };
    let change = target.change(password);
    let by = (announced + WRITE_BY).into_std();
    proof::crash_soon("write.under_way");
    let outcome = link.wrote(link.connector.apply(&change, &target.stamp, by)).await;
    proof::crash_at("write.answered");
    let found = match outcome {
        Outcome::Applied => {
            link.answered();
            let confirmed = confirm(&link, target, &change);
            // It was confirmed; that it cannot be verified in time takes nothing from that.
            timeout_at(verified_by(announced), confirmed).await.unwrap_or(Found::Applied)
        }
        Outcome::NotApplied(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "a source did not change a password");
            target.failed(&link, &fault);
            // After a lost answer, what was sent then may still arrive.
            verdict::not_applied(&fault, target.state == TargetState::Attempting)
        }
        Outcome::Rejected(rejection) => {
            link.answered();
            if let Some(found) = verdict::rejected(&rejection, target.state != TargetState::Queued)
            {
                found
            } else {
                let verified = link.verified(link.connector.verify(&change));
                match timeout_at(verified_by(announced), verified).await {
                    Ok(Ok(Verdict::Yes)) => Found::Applied,
                    Ok(Ok(_)) => Found::Failed(rejection.message),
                    Ok(Err(fault)) => Found::Unknown(fault.public().to_owned()),
                    Err(_) => Found::Unknown(IN_TIME.to_owned()),
                }
            }
        }
        Outcome::Unknown(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "the answer of a source was lost");
            target.failed(&link, &fault);
            Found::Unknown(fault.public().to_owned())
        }
    };
    target.found = Some(found);
}

/// Until when what was announced then may be verified: the claim still has to be there afterwards.
fn verified_by(announced: Instant) -> Instant {
    (announced + VERIFIED_BY).min(Instant::now() + LOOK_WITHIN)
}

async fn confirm(link: &Link, target: &Target, change: &Change<'_>) -> Found {
    let now = if link.verification == Verification::Stamp {
        match link.verified(link.connector.observe(&change.account)).await {
            Ok(now) if target.is_anothers(&now).is_some() => {
                return Found::Failed(GIVEN_AWAY.into());
            }
            Ok(now) => Some(now.stamp),
            Err(_) => None,
        }
    } else {
        None
    };
    if let Some(found) = verdict::confirmed(link.verification, &target.stamp, now.as_ref()) {
        return found;
    }
    match link.verified(link.connector.verify(change)).await {
        Ok(found) => verdict::verified(found),
        // It was confirmed; that it cannot be verified just now takes nothing from that.
        Err(_) => Found::Applied,
    }
}
