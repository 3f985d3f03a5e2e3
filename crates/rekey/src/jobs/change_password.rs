//! Carrying out one password change: decrypt, judge, look at every target, announce, write,
//! verify, and end it or come back later.
//!
//! The clear text exists only in here and in the connectors, and only while they work.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rekey_connectors::{Change, Outcome, Stamp};
use rekey_vault::{About, Dictionary, Judgement, Password, Policy, Purpose};
use tokio::sync::OwnedSemaphorePermit;

use super::worker::LEASE;
use crate::{
    App, Error,
    account::Account,
    identity::Identity,
    keys::SourceKey,
    password::{
        TargetState,
        links::Link,
        payload_invalid,
        verdict::{self, Found, Next},
    },
    policy,
    source::Source,
    store::{Claimed, ClaimedTarget, Tx, is_lost},
};

/// No write is sent later than this after it was announced: well inside the lease.
const WRITE_BY: Duration = Duration::from_secs(15);
/// How long a claimed change waits for room on its sources before it is given back.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// Carries it out as far as it goes now. What fails on rekey's side is logged and left to the
/// lease; what fails on a target's side stands in the change.
pub async fn run(app: &App, change: Claimed) {
    let id = change.id.clone();
    if let Err(error) = carry_out(app, &change).await {
        if matches!(&error, Error::Store(store) if is_lost(store)) {
            tracing::warn!(change.id = %id, "the claim was lost: another worker has it");
        } else {
            tracing::error!(change.id = %id, error = &error as &dyn StdError, "a change broke");
        }
    }
}

/// One account and what is being done with it.
struct Target {
    row: ClaimedTarget,
    link: Result<Arc<Link>, String>,
    found: Option<Found>,
    stamp: Stamp,
    salt: [u8; 16],
}

async fn carry_out(app: &App, change: &Claimed) -> Result<(), Error> {
    let case = read(app, change).await?;
    let mut targets = case.targets(app)?;
    if app.clock.now() >= change.deadline {
        return expire(app, change, targets).await;
    }
    if !case.identity.as_ref().is_some_and(|identity| identity.enabled) {
        return end_all(app, change, targets, "the identity was disabled or removed").await;
    }
    let password = match judge(app, change, &case).await? {
        Judgement::Accepted(password) => password,
        Judgement::PayloadInvalid => {
            return end_named(app, change, targets, &payload_invalid(change.key_id.as_str())).await;
        }
        Judgement::Violations(rules) => {
            return end_named(app, change, targets, &rules.join("\n")).await;
        }
    };

    let Some(permits) = room(&targets).await else { return give_back(app, change).await };
    join_all(targets.iter_mut().map(|target| look(target, &password))).await;
    hold_back(&mut targets);
    if targets.iter().any(Target::is_ready) {
        announce(app, change, &mut targets).await?;
        let by = Instant::now() + WRITE_BY;
        join_all(targets.iter_mut().filter(|t| t.is_ready()).map(|t| write(t, &password, by)))
            .await;
    }
    drop(permits);
    drop(password);
    settle(app, change, targets).await
}

/// One place on every source of the change. They are taken in the order of the sources' ids, so
/// that two groups never wait for each other.
async fn room(targets: &[Target]) -> Option<Vec<OwnedSemaphorePermit>> {
    let links: BTreeMap<_, _> = targets
        .iter()
        .filter_map(|target| Some((&target.row.source_id, target.link.as_ref().ok()?)))
        .collect();
    let take = async {
        let mut permits = Vec::with_capacity(links.len());
        for link in links.values() {
            permits.push(link.permits.clone().acquire_owned().await.ok()?);
        }
        Some(permits)
    };
    tokio::time::timeout(ROOM_WITHIN, take).await.ok().flatten()
}

/// Gives the claim back untouched: there was no room.
async fn give_back(app: &App, change: &Claimed) -> Result<(), Error> {
    let pause = verdict::pause(1, None, u64::from_le_bytes(rekey_vault::random()?));
    let (node, claimed) = (app.node.clone(), change.clone());
    app.store
        .write(move |tx| {
            let due = tx.now()?.plus(pause).min(claimed.deadline);
            Ok(tx.release(&node, &claimed, due)?)
        })
        .await
}

/// What is known about a change, read once.
struct Case {
    key: Option<SourceKey>,
    identity: Option<Identity>,
    account: Option<Account>,
    policy: Policy,
    dictionary: Option<String>,
    sources: Vec<Option<Source>>,
    rows: Vec<ClaimedTarget>,
}

async fn read(app: &App, change: &Claimed) -> Result<Case, Error> {
    let change = change.clone();
    app.store
        .read(move |tx: &mut Tx<'_>| {
            let rows = tx.claimed_targets(change.seq)?;
            let own = tx.source(&change.source_id)?.and_then(|source| source.policy_id);
            let policy = policy::in_force(tx, &change.source_id, own.as_ref())?;
            let dictionary =
                if policy.use_dictionary { tx.setting(policy::DICTIONARY)? } else { None };
            let sources =
                rows.iter().map(|row| tx.source(&row.source_id)).collect::<Result<_, _>>()?;
            Ok(Case {
                key: tx.source_key(&change.key_id)?,
                identity: tx.identity(&change.identity_id)?,
                account: tx.account(&change.account_id)?,
                policy,
                dictionary,
                sources,
                rows,
            })
        })
        .await
}

impl Case {
    fn targets(&self, app: &App) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::with_capacity(self.rows.len());
        for (row, source) in self.rows.iter().zip(&self.sources) {
            let link = match source {
                None => Err("the source was removed".to_owned()),
                Some(_) if row.native_identity.is_empty() => Err("the account was removed".to_owned()),
                Some(source) => app.links.link(app, source).map_err(|error| {
                    tracing::error!(source.id = %source.id, error = &error as &dyn StdError, "a source cannot be opened");
                    "the source is not configured correctly".to_owned()
                }),
            };
            let salt = row.salt.as_deref().and_then(|salt| salt.try_into().ok());
            targets.push(Target {
                salt: match salt {
                    Some(salt) => salt,
                    None => rekey_vault::random()?,
                },
                stamp: Stamp(row.stamp.clone().unwrap_or_default()),
                found: None,
                link,
                row: row.clone(),
            });
        }
        Ok(targets)
    }
}

/// Decrypts and judges, off the threads that serve requests. The same work is done whatever the
/// padding; see the vault.
async fn judge(app: &App, change: &Claimed, case: &Case) -> Result<Judgement, Error> {
    let (Some(payload), Some(key)) = (&change.payload, &case.key) else {
        return Err(Error::Internal("a change without payload or key".into()));
    };
    let ciphertext = app.sealer.open(Purpose::PasswordChange, change.id.as_str(), payload)?;
    let private = app.keys.open(&app.sealer, key)?;
    let policy = case.policy.clone();
    let dictionary = case.dictionary.as_deref().map(Dictionary::parse).transpose();
    let dictionary = dictionary.map_err(Error::Internal)?;
    let native = case.account.as_ref().map(|a| a.native_identity.clone()).unwrap_or_default();
    let name = case.account.as_ref().map(|a| a.name.clone()).unwrap_or_default();
    let account = case.account.as_ref().map(|a| texts(&a.attributes.0)).unwrap_or_default();
    let identity = case.identity.as_ref().map(values).unwrap_or_default();
    let _turn = app.decryptions.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
    tokio::task::spawn_blocking(move || {
        let about = About {
            dictionary: dictionary.as_ref(),
            account_id: &native,
            account_name: &name,
            account_attributes: &account,
            identity_attributes: &identity,
        };
        Ok(private.decrypt(&ciphertext)?.judge(&policy, &about))
    })
    .await
    .map_err(|e| Error::Internal(e.to_string()))?
}

fn values(identity: &Identity) -> Vec<String> {
    let mut all = texts(&identity.attributes.0);
    all.extend([identity.alias.clone(), identity.name.clone()]);
    all.extend(identity.email.clone());
    all
}

fn texts(attributes: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    attributes.values().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

impl Target {
    fn state(&self) -> TargetState {
        TargetState::of(self.row.state)
    }

    fn is_open(&self) -> bool {
        matches!(self.state(), TargetState::Queued | TargetState::Attempting)
    }

    /// Whether a write is due: it was looked at, and nothing was found in its way.
    fn is_ready(&self) -> bool {
        self.is_open() && self.found.is_none()
    }

    fn change<'a>(&'a self, password: &'a Password) -> Change<'a> {
        Change { native_identity: &self.row.native_identity, password, salt: self.salt }
    }
}

/// Looks at a target without changing it; resolves a write whose answer was lost.
async fn look(target: &mut Target, password: &Password) {
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
fn hold_back(targets: &mut [Target]) {
    let written = targets.iter().any(|target| {
        target.state() == TargetState::Applied
            || target.state() == TargetState::Attempting
            || target.found == Some(Found::Applied)
    });
    if written || targets.iter().all(|target| target.found.is_none() || !target.is_open()) {
        return;
    }
    let failed = targets.iter().any(|target| matches!(target.found, Some(Found::Failed(_))));
    for target in targets.iter_mut().filter(|target| target.is_ready()) {
        target.found = Some(if failed {
            Found::Failed(
                "not attempted, since another system of the sync group cannot be changed".into(),
            )
        } else {
            Found::NotYet("waiting for another system of the sync group".into())
        });
    }
}

/// Commits the intent: from here on a write may have happened. Holds the claim for the time of it.
async fn announce(app: &App, change: &Claimed, targets: &mut [Target]) -> Result<(), Error> {
    let ready: Vec<_> = targets
        .iter()
        .filter(|target| target.is_ready())
        .map(|target| (target.row.account_id.clone(), target.salt, target.stamp.0.clone()))
        .collect();
    let (node, claimed) = (app.node.clone(), change.clone());
    app.store
        .write(move |tx| {
            tx.renew(&node, &claimed, LEASE)?;
            for (account, salt, stamp) in &ready {
                tx.set_intent(claimed.seq, account, salt, stamp)?;
            }
            Ok::<_, Error>(())
        })
        .await
}

/// Writes, and verifies what the target confirmed.
async fn write(target: &mut Target, password: &Password, by: Instant) {
    let Ok(link) = target.link.clone() else { return };
    let lost_before = target.state() == TargetState::Attempting;
    let change = target.change(password);
    let outcome = link.connector.apply(&change, &target.stamp, by).await;
    let found = match outcome {
        Outcome::Applied => {
            link.answered();
            confirm(&link, &change, &target.stamp).await
        }
        Outcome::NotApplied(fault) => {
            tracing::warn!(error = &fault as &dyn StdError, "a source did not change a password");
            if fault.is_transient() {
                link.failed(&fault);
            }
            verdict::faulted(&fault)
        }
        Outcome::Rejected(rejection) => {
            link.answered();
            match verdict::rejected(&rejection, lost_before) {
                Some(found) => found,
                None => match link.connector.verify(&change).await {
                    Ok(rekey_connectors::Verdict::Yes) => Found::Applied,
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
    let now = if link.verification == rekey_connectors::Verification::Stamp {
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

/// Keeps what was found; ends the change, or gives it back until later.
async fn settle(app: &App, change: &Claimed, targets: Vec<Target>) -> Result<(), Error> {
    let mut found = Vec::with_capacity(targets.len());
    for target in targets {
        if let Some(result) = target.found {
            found.push((target.row.account_id, result));
        }
    }
    let random = u64::from_le_bytes(rekey_vault::random()?);
    let pause = verdict::pause(change.attempt, None, random);
    let (node, claimed) = (app.node.clone(), change.clone());
    let found = Arc::new(found);
    app.store
        .write(move |tx| {
            let due = tx.now()?.plus(pause).min(claimed.deadline);
            tx.release(&node, &claimed, due)?;
            for (account, result) in found.iter() {
                keep(tx, &claimed, account, result)?;
            }
            tx.end_if_done(claimed.seq)?;
            Ok::<_, Error>(())
        })
        .await?;
    app.waiting.tell(&change.id);
    Ok(())
}

fn keep(
    tx: &mut Tx<'_>,
    change: &Claimed,
    account: &crate::id::AccountId,
    found: &Found,
) -> Result<(), Error> {
    let (state, why) = match found {
        Found::Applied => (TargetState::Applied, None),
        Found::Failed(why) => (TargetState::Failed, Some(why.as_str())),
        Found::Unknown(why) => (TargetState::Attempting, Some(why.as_str())),
        Found::NotYet(why) => {
            // Whoever would come back later steps aside for a newer change.
            if let Some(newer) = tx.newer_change(account, change.seq)? {
                return Ok(tx.supersede_target(change.seq, account, &newer)?);
            }
            (TargetState::Queued, Some(why.as_str()))
        }
    };
    Ok(tx.set_target(change.seq, account, state, why)?)
}

/// The deadline has come: every open target fails with what was last wrong.
async fn expire(app: &App, change: &Claimed, mut targets: Vec<Target>) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_open()) {
        let last = target.row.error.as_deref().unwrap_or("its turn did not come");
        target.found = Some(Found::Failed(match target.state() {
            TargetState::Attempting => format!(
                "the deadline has passed and it is not known whether the password was changed ({last}): change it again"
            ),
            TargetState::Applied
            | TargetState::Failed
            | TargetState::Queued
            | TargetState::Superseded => {
                format!("the deadline has passed; last problem: {last}")
            }
        }));
    }
    settle(app, change, targets).await
}

/// Ends every open target with the same words.
async fn end_all(
    app: &App,
    change: &Claimed,
    mut targets: Vec<Target>,
    why: &str,
) -> Result<(), Error> {
    for target in targets.iter_mut().filter(|target| target.is_open()) {
        target.found = Some(Found::Failed(why.to_owned()));
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
    for target in targets.iter_mut().filter(|target| target.is_open()) {
        let named = target.row.account_id == change.account_id;
        let why = if named { why } else { "not attempted, since the password was refused" };
        target.found = Some(Found::Failed(why.to_owned()));
    }
    settle(app, change, targets).await
}
