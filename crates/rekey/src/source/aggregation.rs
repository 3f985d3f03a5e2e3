//! Reading a source's accounts, and finding whose they are.

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

/// The kind of its jobs.
pub const AGGREGATION: &str = "aggregate";
/// The name of the wire's task.
pub const TASK_NAME: &str = "Cloud Account Aggregation";

/// Asks for an aggregation of a source; one that is under way already is the answer.
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

/// How long after it asked for an aggregation rekey asks again, while accounts wait for one.
const AGAIN_AFTER: Duration = Duration::from_hours(1);

/// Asks for an aggregation of each source with accounts of an older correlation generation: those
/// of a store that was just upgraded, and those whose last aggregation failed.
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

/// Begins a new correlation generation of a source, inside the caller's transaction: none of its
/// accounts can be changed until the aggregation that this enqueues has confirmed it.
pub fn reconfirm(tx: &mut Tx<'_>, source: &SourceId, launcher: &str) -> Result<(), Error> {
    tx.raise_generation(source)?;
    // One that is under way read the source as it was, and keeps nothing more.
    let waiting = tx.unfinished_job(AGGREGATION, source)?.filter(|job| job.claimed_by.is_none());
    if waiting.is_none() {
        enqueue(tx, source, launcher)?;
    }
    Ok(())
}

/// How many accounts a batch made and changed, and how many had no room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Accounts that are new.
    pub created: u64,
    /// Accounts that were otherwise.
    pub updated: u64,
    /// Accounts that are new, and were not kept for want of room.
    pub refused: u64,
    /// Known accounts whose new attributes were not kept for want of room.
    pub trimmed: u64,
}

/// Keeps a batch of accounts as far as there is room, inside the caller's transaction. One that is
/// as it was costs no write.
///
/// An account that names a person it does not belong to yet waits for [`settle`], since another
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

/// What the name of an account that was set aside begins with.
const GIVEN_AWAY: &str = "(name given away) ";

/// The account that a source lists, as rekey knows it: by its stable id, or by its name if no id is
/// known of it. An account whose name was given to another one is set aside: it is found again
/// under its new name, or it is gone.
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

/// An account with what its source lists of it now, and the owner it has until [`settle`].
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
        // Nothing confirms that it is the same account: it keeps its person, and waits.
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

/// An account that is new to rekey, or one that it knew before and that is back.
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

/// Decides whose the accounts are that name a person, after all accounts of the source were read:
/// the next `limit` after `after`. Where to go on, and the accounts that became nobody's, in words.
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

/// How many of the next `limit` accounts after `after` were not seen, how many of them there are,
/// and where to go on.
pub fn count_unseen(
    tx: &mut Tx<'_>,
    source: &SourceId,
    seen: &Seen,
    after: &str,
    limit: i64,
) -> Result<(u64, u64, Option<String>), Error> {
    let page = tx.accounts_after(source, after, limit)?;
    // An account that another one took the name of does not count: the source shows that other one.
    // After a cluster was made anew, those are all.
    let is_gone = |account: &&Account| {
        !seen.shows(account) && !account.native_identity.starts_with(GIVEN_AWAY)
    };
    let unseen = page.iter().filter(is_gone).count();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let next = page.last().map(|account| account.native_identity.clone());
    Ok((count(unseen), count(page.len()), next))
}

/// How many removed accounts of a source are remembered.
const REMEMBERED: i64 = 100_000;

/// Removes those of the next `limit` accounts after `after` that were not seen, inside the
/// caller's deed: how many, and where to go on. Their unfinished changes end by themselves.
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
