//! Carrying out one password change: decrypt, judge, look at every target, announce, write,
//! verify, and end it or come back later.
//!
//! The clear text exists only in here and in the connectors, and only while they work.

use std::{error::Error as StdError, sync::Arc};

use futures_util::future::join_all;
use rekey_vault::Judgement;
use tokio::time::Instant;
use tracing::Instrument;

use self::target::{Target, hold_back, look, write};
pub use self::{case::Case, times::LEASE};
use crate::{
    App, Error,
    keys::SourceKey,
    password::{
        TargetState, payload_invalid,
        permits::Permit,
        superseded_by,
        verdict::{self, Found},
    },
    proof,
    store::{Claimed, Intent, Settled, Tx, is_lost},
};

mod case;
mod target;
mod times;

/// Carries it out as far as it goes now. What fails on rekey's side is logged and tried again
/// later; what fails on a target's side stands in the change.
/// Its permits were reserved when it was claimed.
pub async fn run(app: &App, change: Claimed, permit: Option<Permit>) {
    run_with(app, change, permit, case::judge).await;
}

/// Carries it out with another judge than the vault: in a simulation.
pub async fn run_with(
    app: &App,
    change: Claimed,
    permit: Option<Permit>,
    judge: impl AsyncFn(&App, &Claimed, &Case) -> Result<Judgement, Error>,
) {
    let id = change.id.clone();
    if let Err(error) = carry_out(app, &change, permit, judge).await {
        if matches!(&error, Error::Store(store) if is_lost(store)) {
            tracing::warn!(change.id = %id, "the claim was lost: another worker has it");
        } else {
            tracing::error!(change.id = %id, error = &error as &dyn StdError, "a change broke");
            // If this fails too, the lease ends it.
            let _ = give_back(app, &change).await;
        }
    }
}

async fn carry_out(
    app: &App,
    change: &Claimed,
    permit: Option<Permit>,
    judge: impl AsyncFn(&App, &Claimed, &Case) -> Result<Judgement, Error>,
) -> Result<(), Error> {
    let case = case::read(app, change).await?;
    let mut targets = case.targets(app)?;
    if change.expired {
        expire(change, &mut targets);
        if !targets.iter().any(Target::is_ready) {
            return settle(app, change, targets).await;
        }
        if permit.is_none() {
            // A source is full. The last look waits for a permit in its queue, not in a worker.
            return give_back(app, change).await;
        }
        // The last look takes longer than it takes to end a change.
        let (node, claimed) = (app.node.clone(), change.clone());
        app.store.write(move |tx| tx.renew(&node, &claimed, LEASE)).await?;
    }
    if times::is_poison(change.lapses) {
        let why = "given up: rekey stopped three times while it carried this change out, and it is not known whether the password was changed; change it again";
        return end_all(app, change, targets, why).await;
    }
    if !case.identity.as_ref().is_some_and(|identity| identity.enabled) {
        return end_all(app, change, targets, "the identity was disabled or removed").await;
    }
    if case.key.as_ref().is_none_or(SourceKey::is_revoked) {
        let why = "the source is reached in another way now: call query-password-info again";
        return end_all(app, change, targets, why).await;
    }
    let judging = judge(app, change, &case).instrument(tracing::info_span!("decrypt"));
    let password = match judging.await? {
        Judgement::Accepted(password) => password,
        Judgement::PayloadInvalid => {
            return end_named(app, change, targets, &payload_invalid(change.key_id.as_str())).await;
        }
        Judgement::Violations(rules) => {
            return end_named(app, change, targets, &rules.join("\n")).await;
        }
    };

    proof::crash_at("judge.done");
    let now = change.claimed_at;
    join_all(targets.iter_mut().map(|target| look(target, &password, now))).await;
    hold_back(&mut targets);
    proof::crash_at("look.done");
    if targets.iter().any(Target::is_ready) {
        // Before the commit, so that no commit is too slow for it.
        let announced = Instant::now();
        if !announce(app, change, &mut targets).await? {
            drop(permit);
            return give_back(app, change).await;
        }
        proof::crash_at("announce.committed");
        let ready = targets.iter_mut().filter(|target| target.is_ready());
        join_all(ready.map(|target| write(target, &password, announced))).await;
    }
    drop(permit);
    drop(password);
    proof::crash_at("verify.done");
    settle(app, change, targets).await
}

/// Gives the claim back untouched: there was no room.
async fn give_back(app: &App, change: &Claimed) -> Result<(), Error> {
    let pause = verdict::pause(1, None, app.jitter.next());
    let (node, claimed) = (app.node.clone(), change.clone());
    app.store.write(move |tx| Ok(tx.release(&node, &claimed, pause)?)).await
}

/// Commits the intent: from here on a write may have happened. Holds the claim for the time of it.
/// False when the deadline has come meanwhile, and nothing may be written but what was in force.
async fn announce(app: &App, change: &Claimed, targets: &mut [Target]) -> Result<bool, Error> {
    let intents: Vec<_> = targets
        .iter()
        .filter(|target| target.is_ready())
        .map(|target| Intent {
            account_id: target.row.account_id.clone(),
            salt: target.salt.to_vec(),
            stamp: target.stamp.0.clone(),
        })
        .collect();
    let begins = targets.iter().any(|t| t.is_ready() && t.state != TargetState::Settling);
    let (node, claimed) = (app.node.clone(), change.clone());
    let announced = app
        .store
        .write(move |tx| {
            let now = tx.now()?;
            let last = if begins { claimed.deadline } else { times::last_look(claimed.deadline) };
            if now >= last {
                return Ok(None);
            }
            tx.announce(&node, &claimed, LEASE, &intents)?;
            proof::crash_at("announce.open");
            Ok::<_, Error>(Some(now))
        })
        .await?;
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        target.announced = announced;
    }
    Ok(announced.is_some())
}

/// Keeps what was found; ends the change, or gives it back until later.
async fn settle(app: &App, change: &Claimed, targets: Vec<Target>) -> Result<(), Error> {
    let asked = targets.iter().filter_map(|target| target.asked).max();
    let waits = targets
        .iter()
        .any(|target| matches!(target.found, Some(Found::NotYet(_) | Found::Unknown(_))));
    let pause = verdict::pause(change.attempt, asked, app.jitter.next());
    let end = Target::end(&targets);
    let (node, claimed, targets) = (app.node.clone(), change.clone(), Arc::new(targets));
    let ended = app
        .store
        .write(move |tx| {
            let now = tx.now()?;
            let unsettled =
                targets.iter().filter_map(|target| target.unsettled(&claimed, now)).max();
            let pause = unsettled.filter(|_| !waits).unwrap_or(pause);
            let mut settled = Vec::with_capacity(targets.len());
            for target in targets.iter() {
                settled.push(stands(tx, &claimed, target)?);
            }
            let ended = tx.settle(&node, &claimed, &settled, pause)?;
            proof::crash_at("settle.open");
            Ok::<_, Error>(ended)
        })
        .await?;
    if ended.is_some() {
        app.ended(change, end);
    }
    proof::crash_at("settle.committed");
    if let Some(state) = ended {
        app.waiting.tell(&change.id, state);
    }
    Ok(())
}

/// Where an account stands after an attempt.
fn stands(tx: &mut Tx<'_>, change: &Claimed, target: &Target) -> Result<Settled, Error> {
    let (state, why) = match &target.found {
        None => (target.state, target.row.error.clone()),
        Some(Found::Applied) if target.unsettled(change, tx.now()?).is_some() => {
            (TargetState::Settling, None)
        }
        Some(Found::Applied) => (TargetState::Applied, None),
        Some(Found::Failed(why)) => (TargetState::Failed, Some(why.clone())),
        Some(Found::Unknown(why)) if target.is_only_looked_at() => {
            (TargetState::Settling, Some(why.clone()))
        }
        Some(Found::Unknown(why)) => (TargetState::Attempting, Some(why.clone())),
        Some(Found::NotYet(why)) => match tx.newer_change(&target.row.account_id, change.seq)? {
            // Whoever would come back later steps aside for a newer change.
            Some(newer) => (TargetState::Superseded, Some(superseded_by(newer.as_str()))),
            None => (TargetState::Queued, Some(why.clone())),
        },
    };
    Ok(Settled {
        account_id: target.row.account_id.clone(),
        source_id: target.row.source_id.clone(),
        state: state.number(),
        announced: target.left_behind().filter(|_| state != TargetState::Superseded),
        error: why,
        is_new: target.found.is_some(),
    })
}

/// The deadline has come: every open target fails with what was last wrong. What is in force and
/// waits to be looked at once more fails only when it could not be.
fn expire(change: &Claimed, targets: &mut [Target]) {
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        let last = target.row.error.as_deref().unwrap_or("its turn did not come");
        target.found = Some(Found::Failed(match target.state {
            TargetState::Settling if change.claimed_at < times::last_look(change.deadline) => {
                continue;
            }
            TargetState::Settling => format!(
                "the password was in force, but an older change may have overwritten it, and it could not be looked at again ({last}): change it again"
            ),
            TargetState::Attempting => format!(
                "the deadline has passed and it is not known whether the password was changed ({last}): change it again"
            ),
            TargetState::Applied
            | TargetState::Failed
            | TargetState::Queued
            | TargetState::Superseded => format!("the deadline has passed; last problem: {last}"),
        }));
    }
}

/// Ends every open target with the same words.
async fn end_all(
    app: &App,
    change: &Claimed,
    mut targets: Vec<Target>,
    why: &str,
) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        target.fail(why);
    }
    settle(app, change, targets).await
}

/// Ends every open target; the account that was named carries the words, the others of its sync
/// group say that they were not attempted.
async fn end_named(
    app: &App,
    change: &Claimed,
    mut targets: Vec<Target>,
    why: &str,
) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        let named = target.row.account_id == change.account_id;
        let why = if named { why } else { "not attempted, since the password was refused" };
        target.fail(why);
    }
    settle(app, change, targets).await
}
