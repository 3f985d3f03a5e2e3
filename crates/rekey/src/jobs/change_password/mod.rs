//! Executes one password change: decrypt, judge, observe every target, announce, write, verify, and
//! end the change or come back later. The state machine in `password::state` decides on each step.
//!
//! The clear text exists only here, in the vault and in the connectors, and only while they work.

use std::{error::Error as StdError, sync::Arc};

use futures_util::future::join_all;
use rekey_vault::Judgement;
use tokio::time::Instant;
use tracing::Instrument;

use self::target::{Target, hold_back, observe, write};
pub use self::{context::ChangeContext, times::LEASE};
use crate::{
    App, Error,
    connector::Permit,
    model::{
        change::{TargetState, superseded_by},
        source_key::SourceKey,
    },
    password::{
        payload_invalid,
        state::{Effect, Event, Illegal},
        verdict,
    },
    proof,
    store::{Claimed, Intent, TargetResult, Tx, is_lost},
};

mod context;
mod target;
mod times;

/// Executes a claimed change as far as it can go now. A failure on rekey's side is logged and tried
/// again later; a failure of a target is recorded in the change. `permit` was reserved at the
/// claim.
pub async fn run(app: &App, change: Claimed, permit: Option<Permit>) {
    run_with(app, change, permit, context::judge).await;
}

/// Executes a claimed change with a judge that replaces the vault, for simulations.
pub async fn run_with(
    app: &App,
    change: Claimed,
    permit: Option<Permit>,
    judge: impl AsyncFn(&App, &Claimed, &ChangeContext) -> Result<Judgement, Error>,
) {
    let id = change.id.clone();
    if let Err(error) = carry_out(app, &change, permit, judge).await {
        if matches!(&error, Error::Store(store) if is_lost(store)) {
            tracing::warn!(change.id = %id, "the claim was lost: another worker has it");
        } else {
            tracing::error!(change.id = %id, error = &error as &dyn StdError, "a change broke");
            // If this fails too, the claim ends with its lease.
            let _ = give_back(app, &change).await;
        }
    }
}

async fn carry_out(
    app: &App,
    change: &Claimed,
    permit: Option<Permit>,
    judge: impl AsyncFn(&App, &Claimed, &ChangeContext) -> Result<Judgement, Error>,
) -> Result<(), Error> {
    let context = context::read(app, change).await?;
    let mut targets = context.targets(app)?;
    if change.expired {
        expire(change, &mut targets)?;
        if !targets.iter().any(Target::is_ready) {
            return record(app, change, targets).await;
        }
        if permit.is_none() {
            // A source has no free permit. The recheck waits in the queue, not in a worker.
            return give_back(app, change).await;
        }
        // The claim of an expired change is short; a recheck takes longer than ending the change.
        let (node, claimed) = (app.node.clone(), change.clone());
        app.store.write(move |tx| tx.renew(&node, &claimed, LEASE)).await?;
    }
    if times::is_poison(change.lapses) {
        let why = "given up: rekey stopped three times while it carried this change out, and it is not known whether the password was changed; change it again";
        return end_all(app, change, targets, why).await;
    }
    if !context.identity.as_ref().is_some_and(|identity| identity.enabled) {
        return end_all(app, change, targets, "the identity was disabled or removed").await;
    }
    if context.key.as_ref().is_none_or(SourceKey::is_revoked) {
        let why = "the source is reached in another way now: call query-password-info again";
        return end_all(app, change, targets, why).await;
    }
    let judging = judge(app, change, &context).instrument(tracing::info_span!("decrypt"));
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
    let observed = join_all(targets.iter_mut().map(|target| observe(target, &password, now))).await;
    observed.into_iter().collect::<Result<(), Illegal>>()?;
    hold_back(&mut targets)?;
    proof::crash_at("look.done");
    if targets.iter().any(Target::is_ready) {
        // Taken before the commit, so that a slow commit only shortens the time for the write.
        let announced = Instant::now();
        if !announce(app, change, &mut targets).await? {
            drop(permit);
            return give_back(app, change).await;
        }
        proof::crash_at("announce.committed");
        let ready = targets.iter_mut().filter(|target| target.is_ready());
        let written = join_all(ready.map(|target| write(target, &password, announced))).await;
        written.into_iter().collect::<Result<(), Illegal>>()?;
    }
    drop(permit);
    drop(password);
    proof::crash_at("verify.done");
    record(app, change, targets).await
}

/// Gives the claim back without a result: the change is due again after a pause or at its deadline.
async fn give_back(app: &App, change: &Claimed) -> Result<(), Error> {
    let pause = verdict::pause(1, None, app.jitter.next());
    let (node, claimed) = (app.node.clone(), change.clone());
    app.store.write(move |tx| Ok(tx.release(&node, &claimed, pause)?)).await
}

/// Commits the intent to write: from here on the writes may have happened. Renews the claim. False
/// if nothing may be written: the deadline has passed meanwhile, or an account has become another
/// person's or waits for an aggregation. The next attempt reports the reason.
async fn announce(app: &App, change: &Claimed, targets: &mut [Target]) -> Result<bool, Error> {
    let mut intents = Vec::with_capacity(targets.len());
    for target in targets.iter().filter(|target| target.is_ready()) {
        let (state, _) = target.state.next(Event::Announced)?;
        let account_id = target.row.account_id.clone();
        let (salt, stamp) = (target.salt.to_vec(), target.stamp.0.clone());
        intents.push(Intent { account_id, state, salt, stamp });
    }
    let begins = targets.iter().any(|t| t.is_ready() && t.state != TargetState::AwaitingRecheck);
    let (node, claimed) = (app.node.clone(), change.clone());
    let announced = app
        .store
        .write(move |tx| {
            let now = tx.now()?;
            let last =
                if begins { claimed.deadline } else { times::last_recheck(claimed.deadline) };
            if now >= last {
                return Ok(None);
            }
            tx.announce(&node, &claimed, LEASE, &intents)?;
            proof::crash_at("announce.open");
            Ok::<_, Error>(Some(now))
        })
        .await;
    let announced = match announced {
        // A lost claim gives the same error: the attempt to give it back then fails and is logged.
        Err(Error::Store(error)) if is_lost(&error) => None,
        announced => announced?,
    };
    if announced.is_some() {
        for target in targets.iter_mut().filter(|target| target.is_ready()) {
            target.announced = announced;
            target.apply(Event::Announced, None)?;
        }
    }
    Ok(announced.is_some())
}

/// Records the results of the attempt. The change ends if all its targets have ended; otherwise its
/// claim is given back.
async fn record(app: &App, change: &Claimed, targets: Vec<Target>) -> Result<(), Error> {
    let asked = targets.iter().filter_map(|target| target.asked).max();
    let waits = targets.iter().any(Target::waits);
    let pause = verdict::pause(change.attempt, asked, app.jitter.next());
    let (node, claimed, targets) = (app.node.clone(), change.clone(), Arc::new(targets));
    let outcome = app
        .store
        .write(move |tx| {
            let now = tx.now()?;
            let unsettled =
                targets.iter().filter_map(|target| target.unsettled(&claimed, now)).max();
            let pause = unsettled.filter(|_| !waits).unwrap_or(pause);
            let mut results = Vec::with_capacity(targets.len());
            for target in targets.iter() {
                results.push(result(tx, &claimed, target)?);
            }
            let outcome = tx.record_results(&node, &claimed, &results, pause)?;
            proof::crash_at("settle.open");
            Ok::<_, Error>(outcome)
        })
        .await?;
    if let Some(outcome) = outcome {
        let made = change.id.made().unwrap_or(app.clock.now());
        let micros = u64::try_from(app.clock.now().0 - made.0).unwrap_or(0);
        let kind = app.handles.kind(&change.source_id);
        tracing::Span::current().record("state", outcome.label());
        app.metrics().ended(&kind, outcome.label(), std::time::Duration::from_micros(micros));
    }
    proof::crash_at("settle.committed");
    if let Some(outcome) = outcome {
        app.waiters.notify(&change.id, outcome.state());
    }
    Ok(())
}

/// Returns the result of the attempt for one account. Only the transaction that records it can know
/// whether a newer change waits, and whether an older write may still arrive.
fn result(tx: &mut Tx<'_>, change: &Claimed, target: &Target) -> Result<TargetResult, Error> {
    let mut state = target.state;
    let mut error = match &target.result {
        Some(result) => result.why.clone(),
        None => target.row.error.clone(),
    };
    match target.result.as_ref().map(|result| result.effect) {
        Some(Effect::Confirm) if target.unsettled(change, tx.now()?).is_none() => {
            (state, _) = state.next(Event::Settled)?;
        }
        Some(Effect::Yield) => {
            if let Some(newer) = tx.newer_change(&target.row.account_id, change.seq)? {
                (state, _) = state.next(Event::NewerAccepted)?;
                error = Some(superseded_by(newer.as_str()));
            }
        }
        _ => {}
    }
    Ok(TargetResult {
        account_id: target.row.account_id.clone(),
        source_id: target.row.source_id.clone(),
        state,
        announced: state.unresolved_write_at(target.announced, target.row.announced),
        error,
        is_new: target.result.is_some(),
    })
}

/// Ends the open targets after the deadline, each with its last error; a password in force that
/// awaits its recheck only once the time for the recheck has passed, too.
fn expire(change: &Claimed, targets: &mut [Target]) -> Result<(), Illegal> {
    let event = if change.claimed_at < times::last_recheck(change.deadline) {
        Event::DeadlinePassed
    } else {
        Event::RecheckOverdue
    };
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        let last = target.row.error.as_deref().unwrap_or("its turn did not come");
        let why = match target.state {
            TargetState::AwaitingRecheck => format!(
                "the password was in force, but an older change may have overwritten it, and it could not be looked at again ({last}): change it again"
            ),
            TargetState::Queued => format!("the deadline has passed; last problem: {last}"),
            TargetState::Applied
            | TargetState::Attempting
            | TargetState::Failed
            | TargetState::Restoring
            | TargetState::Rewriting
            | TargetState::Superseded
            | TargetState::Writing => format!(
                "the deadline has passed and it is not known whether the password was changed ({last}): change it again"
            ),
        };
        target.apply(event, why)?;
    }
    Ok(())
}

/// Ends every open target with the same error text.
async fn end_all(
    app: &App,
    change: &Claimed,
    mut targets: Vec<Target>,
    why: &str,
) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        target.apply(Event::Refused, why.to_owned())?;
    }
    record(app, change, targets).await
}

/// Ends every open target. The account that the request named gets the error text; the other
/// accounts of its sync group are reported as not attempted.
async fn end_named(
    app: &App,
    change: &Claimed,
    mut targets: Vec<Target>,
    why: &str,
) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        let named = target.row.account_id == change.account_id;
        let why = if named { why } else { "not attempted, since the password was refused" };
        target.apply(Event::Refused, why.to_owned())?;
    }
    record(app, change, targets).await
}
