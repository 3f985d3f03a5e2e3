//! One account of a change: looked at, written, verified.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use rekey_connectors::{Change, Outcome, Stamp, Verdict, Verification};
use rekey_vault::Password;

use crate::{
    password::{
        TargetState,
        links::Link,
        verdict::{self, Found, Next},
    },
    proof,
    store::ClaimedTarget,
};

/// How long looking at a target may take, and verifying it afterwards: with the wait for room it
/// ends before the claim does.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// One account and what is being done with it.
pub(super) struct Target {
    /// What the store has of it.
    pub(super) row: ClaimedTarget,
    /// The way to it, or why there is none.
    pub(super) link: Result<Arc<Link>, String>,
    /// What was found out in this attempt, once it was.
    pub(super) found: Option<Found>,
    /// The stamp last observed.
    pub(super) stamp: Stamp,
    /// The random bytes of this change on this account.
    pub(super) salt: [u8; 16],
}

impl Target {
    /// Where the store has it.
    pub(super) fn state(&self) -> TargetState {
        TargetState::of(self.row.state)
    }

    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state(), TargetState::Queued | TargetState::Attempting)
    }

    /// Whether a write is due: it was looked at, and nothing was found in its way.
    pub(super) fn is_ready(&self) -> bool {
        self.is_open() && self.found.is_none()
    }

    fn change<'a>(&'a self, password: &'a Password) -> Change<'a> {
        Change { native_identity: &self.row.native_identity, password, salt: self.salt }
    }
}

/// Looks for no longer than [`LOOK_WITHIN`].
pub(super) async fn look(target: &mut Target, password: &Password) {
    if tokio::time::timeout(LOOK_WITHIN, observe(target, password)).await.is_err() {
        let why = "the source did not answer in time".to_owned();
        let may_have_happened = target.state() == TargetState::Attempting;
        target.found =
            Some(if may_have_happened { Found::Unknown(why) } else { Found::NotYet(why) });
    }
}

/// Looks at a target without changing it; resolves a write whose answer was lost.
async fn observe(target: &mut Target, password: &Password) {
    if !target.is_open() {
        return;
    }
    let link = match &target.link {
        Ok(link) => link.clone(),
        Err(why) => {
            target.found = Some(Found::Failed(why.clone()));
            return;
        }
    };
    let now = match link.connector.observe(&target.row.native_identity).await {
        Ok(stamp) => stamp,
        Err(fault) => {
            if fault.is_transient() {
                link.failed(&fault);
            }
            tracing::warn!(error = &fault as &dyn StdError, "a source cannot be observed");
            target.found = Some(match (target.state(), verdict::faulted(&fault)) {
                (TargetState::Attempting, Found::NotYet(why)) => Found::Unknown(why),
                (_, found) => found,
            });
            return;
        }
    };
    link.answered();
    if target.state() == TargetState::Attempting
        && verdict::after_unknown(&target.stamp, &now) == Next::Verify
    {
        target.found = match link.connector.verify(&target.change(password)).await {
            Ok(found) => verdict::resolved(found, target.stamp.is_known()),
            Err(fault) if fault.is_transient() => Some(Found::Unknown(fault.message)),
            Err(fault) => Some(Found::Failed(fault.message)),
        };
    }
    target.stamp = now;
}

/// Nothing is written to a group until every member is ready; once something was, the rest follow
/// one by one.
pub(super) fn hold_back(targets: &mut [Target]) {
    let written = targets.iter().any(|target| {
        target.state() == TargetState::Applied
            || target.state() == TargetState::Attempting
            || target.found == Some(Found::Applied)
    });
    let failed = targets.iter().any(|target| {
        target.state() == TargetState::Failed || matches!(target.found, Some(Found::Failed(_)))
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

/// Writes, and verifies what the target confirmed.
pub(super) async fn write(target: &mut Target, password: &Password, by: Instant) {
    let Ok(link) = target.link.clone() else { return };
    let lost_before = target.state() == TargetState::Attempting;
    let change = target.change(password);
    proof::crash_soon("write.under_way");
    let outcome = link.connector.apply(&change, &target.stamp, by).await;
    proof::crash_at("write.answered");
    let found = match outcome {
        Outcome::Applied => {
            link.answered();
            let confirmed = confirm(&link, &change, &target.stamp);
            // It was confirmed; that it cannot be verified in time takes nothing from that.
            tokio::time::timeout(LOOK_WITHIN, confirmed).await.unwrap_or(Found::Applied)
        }
        Outcome::NotApplied(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "a source did not change a password");
            if fault.is_transient() {
                link.failed(&fault);
            }
            // After a lost answer, what was sent then may still arrive.
            verdict::not_applied(&fault, lost_before)
        }
        Outcome::Rejected(rejection) => {
            link.answered();
            match verdict::rejected(&rejection, lost_before) {
                Some(found) => found,
                None => match link.connector.verify(&change).await {
                    Ok(Verdict::Yes) => Found::Applied,
                    Ok(_) => Found::Failed(rejection.message),
                    Err(fault) => Found::Unknown(fault.message),
                },
            }
        }
        Outcome::Unknown(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "the answer of a source was lost");
            link.failed(&fault);
            Found::Unknown(fault.message)
        }
    };
    target.found = Some(found);
}

async fn confirm(link: &Link, change: &Change<'_>, before: &Stamp) -> Found {
    let now = if link.verification == Verification::Stamp {
        link.connector.observe(change.native_identity).await.ok()
    } else {
        None
    };
    if let Some(found) = verdict::confirmed(link.verification, before, now.as_ref()) {
        return found;
    }
    match link.connector.verify(change).await {
        Ok(found) => verdict::verified(found),
        // It was confirmed; that it cannot be verified just now takes nothing from that.
        Err(_) => Found::Applied,
    }
}
