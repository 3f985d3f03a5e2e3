//! Aggregation: stores the accounts of a source, and finds their owners.

use std::time::Duration;

use rekey_connectors::Listed;
use serde_json::Map;

use super::{
    room::Room,
    seen::{Seen, quoted},
};
use crate::{
    App, Error,
    access::Caller,
    account::correlation::{Claim, Correlator, note_owner},
    model::{
        account::{Account, NOBODY},
        column::Json,
        id::{IdentityId, JobId, SourceId},
        job::Job,
        source::Source,
    },
    store::{Audit, Removed, Tx},
};

/// The kind of aggregation jobs.
pub const AGGREGATION: &str = "aggregate";
/// The name of the task on the wire.
pub const TASK_NAME: &str = "Cloud Account Aggregation";

/// Requests an aggregation of a source. Returns the unfinished one if there is one already.
pub async fn aggregate(app: &App, caller: &Caller, id: SourceId) -> Result<Job, Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let source = super::seen(tx, &caller, &id)?;
            if let Some(job) = tx.unfinished_job(AGGREGATION, &source.id)? {
                return Ok(job);
            }
            let job = enqueue(tx, &source.id, &caller.name)?;
            let detail = serde_json::json!({ "name": source.name, "task": job.id });
            let (actor, object) = (caller.principal(), source.id.as_str());
            tx.audit(Audit { actor, action: "SOURCE_ACCOUNT_AGGREGATE", object, detail })?;
            Ok(job)
        })
        .await
}

pub(super) fn enqueue(tx: &mut Tx<'_>, source: &SourceId, launcher: &str) -> Result<Job, Error> {
    let now = tx.now()?;
    let job = Job {
        id: JobId::new(),
        kind: AGGREGATION.into(),
        payload: Json(Map::new()),
        source_id: Some(source.clone()),
        launcher: launcher.to_owned(),
        attempt: 0,
        claimed_by: None,
        due: now,
        created: now,
        launched: None,
        completed: None,
        completion_status: None,
        messages: Json(Vec::new()),
        result: Json(Map::new()),
    };
    tx.insert_job(&job)?;
    Ok(job)
}

/// Pause before rekey itself requests another aggregation of a source with accounts that wait for
/// one.
const AGAIN_AFTER: Duration = Duration::from_hours(1);

/// Requests an aggregation of each source with accounts of an older correlation generation. Such
/// accounts come from a store that was just upgraded, or from a failed aggregation.
pub async fn confirm_waiting(app: &App) -> Result<(), Error> {
    app.store
        .write(|tx| {
            let before = tx.now()?.minus(AGAIN_AFTER);
            for source in tx.sources_to_confirm(AGGREGATION, crate::model::audit::ACTOR, before)? {
                enqueue(tx, &source, crate::model::audit::ACTOR)?;
            }
            Ok(())
        })
        .await
}

/// Begins a new correlation generation of a source, in the caller's transaction: no account of the
/// source can be changed until the aggregation that this enqueues has confirmed it.
pub fn reconfirm(tx: &mut Tx<'_>, source: &SourceId, launcher: &str) -> Result<(), Error> {
    tx.raise_generation(source)?;
    // An aggregation that is under way read the old configuration, and stores nothing more.
    let waiting = tx.unfinished_job(AGGREGATION, source)?.filter(|job| job.claimed_by.is_none());
    if waiting.is_none() {
        enqueue(tx, source, launcher)?;
    }
    Ok(())
}

/// How many accounts a batch created and updated, and how many exceeded the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// New accounts.
    pub created: u64,
    /// Known accounts that have changed.
    pub updated: u64,
    /// New accounts that were not stored because a limit was reached.
    pub refused: u64,
    /// Known accounts whose new attributes were not stored because a limit was reached.
    pub trimmed: u64,
}

/// Stores a batch of accounts up to the limits, in the caller's transaction. An unchanged account
/// causes no write.
///
/// An account that names a person who is not its owner yet waits for [`settle`], since another
/// account that was not read yet may name the same person.
pub fn keep(
    tx: &mut Tx<'_>,
    source: &Source,
    correlator: &Correlator,
    batch: &[Listed],
    room: &mut Room,
) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    for listed in batch {
        let old = known(tx, source, listed)?;
        if old.is_none() && !room.add(listed) {
            counted.refused += 1;
            continue;
        }
        let claim = correlator.claim(tx, listed)?;
        let mut account = read_again(tx, source, old.clone(), listed, claim)?;
        let chosen =
            |old: &Account| old.is_new_to_owners() && correlator.names_anew(source, old, listed);
        if old.as_ref().is_some_and(chosen) {
            account.confirmed_owner = Some(IdentityId(NOBODY.to_owned()));
        }
        if let Some(old) = &old
            && !room.replace(old, &mut account)
        {
            counted.trimmed += 1;
        }
        match old {
            None => {
                tx.insert_account(&account)?;
                counted.created += 1;
            }
            Some(old) if !account.is_as(&old) => {
                note_owner(tx, &old, &account)?;
                tx.update_account(&account)?;
                counted.updated += u64::from(account.shows_otherwise(&old));
            }
            Some(_) => {}
        }
    }
    Ok(counted)
}

/// The prefix of the name of an account that was set aside.
const GIVEN_AWAY: &str = "(name given away) ";

/// Finds the stored account for a listed one: by its stable id, or by its name if no id of it is
/// stored. A stored account whose name now belongs to another account is set aside: the source
/// lists it under a new name, or it is gone.
fn known(tx: &mut Tx<'_>, source: &Source, listed: &Listed) -> Result<Option<Account>, Error> {
    let Some(id) = &listed.stable_id else {
        return Ok(tx.account_on(&source.id, &listed.native_identity)?);
    };
    let same = tx.account_with_stable_id(&source.id, id)?;
    if same.as_ref().is_some_and(|same| same.native_identity == listed.native_identity) {
        return Ok(same);
    }
    match tx.account_on(&source.id, &listed.native_identity)? {
        None => Ok(same),
        Some(named) if same.is_none() && named.stable_id.is_none() => Ok(Some(named)),
        Some(mut named) => {
            named.native_identity = format!("{GIVEN_AWAY}{}", named.id);
            named.generation = named.generation.min(source.generation - 1);
            tx.update_account(&named)?;
            Ok(same)
        }
    }
}

/// Updates an account with the data that its source lists now. Its owner is provisional until
/// [`settle`].
fn read_again(
    tx: &mut Tx<'_>,
    source: &Source,
    old: Option<Account>,
    listed: &Listed,
    claim: Claim,
) -> Result<Account, Error> {
    let now = tx.now()?;
    let mut account = match old {
        Some(old) => old,
        None => first_seen(tx, source, listed)?,
    };
    account.native_identity.clone_from(&listed.native_identity);
    account.name.clone_from(&listed.name);
    account.attributes = Json(listed.attributes.clone());
    (account.disabled, account.locked, account.modified) = (listed.disabled, listed.locked, now);
    if listed.stable_id.is_none() && account.stable_id.is_some() {
        // Nothing confirms that this is the same account: it keeps its owner, and takes no changes
        // until an aggregation confirms it.
        account.generation = account.generation.min(source.generation - 1);
        account.uncorrelated_because = Some(HIDES_ID.to_owned());
        return Ok(account);
    }
    if hides_id(&account) {
        account.uncorrelated_because = None;
    }
    let is_confirmed = account.generation == source.generation;
    account.stable_id.clone_from(&listed.stable_id);
    match claim {
        _ if account.manually_correlated => account.claims = None,
        Claim::Nothing => account.claims = None,
        Claim::Nobody(why) => {
            account.claims = None;
            let why = why.or_else(|| {
                let was_somebodys = account.identity_id.is_some();
                was_somebodys.then(|| "its correlation attribute names nobody any more".to_owned())
            });
            let why = why.or_else(|| account.uncorrelated_because.clone());
            account.set_owner(None, why);
        }
        Claim::Person(person) => {
            let is_theirs = account.identity_id.as_ref() == Some(&person);
            account.claims = Some(person);
            if !is_theirs {
                let why = account.identity_id.as_ref().map(|_| MOVES.to_owned());
                let why = why.or_else(|| account.uncorrelated_because.clone());
                account.set_owner(None, why);
            }
            if !(is_theirs && is_confirmed) {
                return Ok(account);
            }
        }
    }
    account.generation = source.generation;
    Ok(account)
}

/// Returns a new account. If the same stable id was removed before, the account gets its confirmed
/// owner back, and also its person if an administrator had assigned it.
fn first_seen(tx: &mut Tx<'_>, source: &Source, listed: &Listed) -> Result<Account, Error> {
    let now = tx.now()?;
    let mut account =
        Account { generation: 0, ..Account::new(source.id.clone(), &listed.native_identity, now) };
    let Some(id) = &listed.stable_id else { return Ok(account) };
    let Some(Removed { confirmed_owner, manually_correlated }) =
        tx.take_removed_account(&source.id, id)?
    else {
        return Ok(account);
    };
    if manually_correlated && tx.identity(&confirmed_owner)?.is_some() {
        account.identity_id = Some(confirmed_owner.clone());
        account.manually_correlated = true;
    }
    account.confirmed_owner = Some(confirmed_owner);
    Ok(account)
}

const HIDES_ID: &str = "the system no longer shows its id, so that nothing confirms whose it is: let rekey's own account read the ids there, and aggregate the source";

fn hides_id(account: &Account) -> bool {
    account.uncorrelated_because.as_deref() == Some(HIDES_ID)
}

const MOVES: &str = "its correlation attribute names another person now";

/// Decides on the owners of accounts that name a person, after all accounts of the source were
/// read: for the next `limit` accounts after `after`. Returns where to continue, and a text for
/// each account that may not have the owner it names.
pub fn settle(
    tx: &mut Tx<'_>,
    source: &Source,
    correlator: &Correlator,
    seen: &Seen,
    after: &str,
    limit: i64,
) -> Result<(Option<String>, Vec<String>), Error> {
    let page = tx.accounts_to_settle(source, after, limit)?;
    let mut refused = Vec::new();
    let is_certain =
        |account: &&Account| seen.holds(&account.native_identity) && !hides_id(account);
    for account in page.iter().filter(is_certain) {
        if let Some(why) = correlator.settle(tx, source, account)? {
            refused.push(format!("{}: {why}", quoted(&account.native_identity)));
        }
    }
    Ok((page.last().map(|account| account.id.to_string()), refused))
}

/// Counts the unseen among the next `limit` accounts after `after`. Returns that count, the count
/// of all of them, and where to continue.
pub fn count_unseen(
    tx: &mut Tx<'_>,
    source: &SourceId,
    seen: &Seen,
    after: &str,
    limit: i64,
) -> Result<(u64, u64, Option<String>), Error> {
    let page = tx.accounts_after(source, after, limit)?;
    // An account whose name was taken by another one does not count: the source lists that other
    // one. After a cluster was set up anew, this applies to all accounts.
    let is_gone = |account: &&Account| {
        !seen.shows(account) && !account.native_identity.starts_with(GIVEN_AWAY)
    };
    let unseen = page.iter().filter(is_gone).count();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let next = page.last().map(|account| account.native_identity.clone());
    Ok((count(unseen), count(page.len()), next))
}

/// Most removed accounts of a source that are remembered.
const REMEMBERED: i64 = 100_000;

/// Removes the unseen among the next `limit` accounts after `after`, in the caller's transaction.
/// Returns their count and where to continue. Their unfinished changes end at their next attempt.
pub fn remove_unseen(
    tx: &mut Tx<'_>,
    source: &SourceId,
    seen: &Seen,
    after: &str,
    limit: i64,
) -> Result<(u64, Option<String>), Error> {
    let page = tx.accounts_after(source, after, limit)?;
    let mut removed = 0;
    for account in &page {
        if !seen.shows(account) {
            tx.remove_account(account)?;
            removed += 1;
        }
    }
    if removed > 0 {
        tx.forget_removed_accounts(source, REMEMBERED)?;
    }
    Ok((removed, page.last().map(|account| account.native_identity.clone())))
}
