//! Reading a source's accounts, and finding whose they are.

use std::collections::{HashMap, HashSet};

use rekey_connectors::Listed;
use serde_json::{Map, Value};

use super::{Correlation, Source};
use crate::{
    App, Error,
    access::Caller,
    account::Account,
    id::{IdentityId, JobId, SourceId},
    identity::name_key,
    store::{Audit, Job, Json, Tx},
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

fn enqueue(tx: &mut Tx<'_>, source: &SourceId, launcher: &str) -> Result<Job, Error> {
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

/// Who an account belongs to.
#[derive(Clone)]
pub enum Correlator {
    /// By the person's login name.
    Alias(String),
    /// By another attribute of theirs: `name` of the account, and whom each value names.
    Attribute(String, HashMap<String, Option<IdentityId>>),
    /// Nobody said how: accounts stay as they are.
    Nothing,
}

impl Correlator {
    /// As the source is configured.
    pub fn new(tx: &mut Tx<'_>, source: &Source) -> Result<Self, Error> {
        if source.is_built_in() {
            return Ok(Self::Alias("nativeIdentity".into()));
        }
        let Some(Correlation { account_attribute, identity_attribute }) = source.correlation()?
        else {
            return Ok(Self::Nothing);
        };
        if identity_attribute == "alias" {
            return Ok(Self::Alias(account_attribute));
        }
        let mut people = HashMap::new();
        for person in tx.identities()? {
            let Some(value) = person.attribute(&identity_attribute) else { continue };
            // Two people with one value are nobody.
            people
                .entry(name_key(&value))
                .and_modify(|whom| *whom = None)
                .or_insert(Some(person.id));
        }
        Ok(Self::Attribute(account_attribute, people))
    }

    fn person(
        &self,
        tx: &mut Tx<'_>,
        listed: &Listed,
        now: Option<&IdentityId>,
    ) -> Result<Option<IdentityId>, Error> {
        match self {
            Self::Nothing => Ok(now.cloned()),
            Self::Alias(attribute) => match value(listed, attribute) {
                Some(alias) if !alias.trim().is_empty() => {
                    Ok(tx.identity_with_alias(&alias)?.map(|person| person.id))
                }
                Some(_) | None => Ok(None),
            },
            Self::Attribute(attribute, people) => Ok(value(listed, attribute)
                .and_then(|value| people.get(&name_key(&value)).cloned().flatten())),
        }
    }
}

/// An attribute of an account as text; the first of several.
fn value(listed: &Listed, attribute: &str) -> Option<String> {
    match attribute {
        "nativeIdentity" => return Some(listed.native_identity.clone()),
        "name" if !listed.attributes.contains_key("name") => return Some(listed.name.clone()),
        _ => {}
    }
    let value = listed.attributes.get(attribute)?;
    match value.as_array().and_then(|all| all.first()).unwrap_or(value) {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

/// How many accounts a batch made and changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Accounts that are new.
    pub created: u64,
    /// Accounts that were otherwise.
    pub updated: u64,
}

/// Keeps a batch of accounts, inside the caller's deed. One that is as it was costs no write.
pub fn keep(
    tx: &mut Tx<'_>,
    source: &SourceId,
    correlator: &Correlator,
    batch: &[Listed],
) -> Result<Counted, Error> {
    let now = tx.now()?;
    let mut counted = Counted::default();
    for listed in batch {
        let old = tx.account_on(source, &listed.native_identity)?;
        let whose = old.as_ref().and_then(|old| old.identity_id.as_ref());
        let kept = old.clone();
        let account = Account {
            identity_id: correlator.person(tx, listed, whose)?,
            name: listed.name.clone(),
            attributes: Json(listed.attributes.clone()),
            disabled: listed.disabled,
            locked: listed.locked,
            modified: now,
            ..kept.unwrap_or_else(|| Account::new(source.clone(), &listed.native_identity, now))
        };
        match old {
            None => {
                tx.insert_account(&account)?;
                counted.created += 1;
            }
            Some(old) if differs(&old, &account) => {
                tx.update_account(&account)?;
                counted.updated += 1;
            }
            Some(_) => {}
        }
    }
    Ok(counted)
}

fn differs(old: &Account, new: &Account) -> bool {
    (&old.identity_id, &old.name, &old.attributes, old.disabled, old.locked)
        != (&new.identity_id, &new.name, &new.attributes, new.disabled, new.locked)
}

/// The accounts a source listed: a digest each, 16 bytes, however long their names.
#[derive(Clone, Default)]
pub struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Remembers an account; whether it is the first time.
    pub fn add(&mut self, native_identity: &str) -> bool {
        self.0.insert(digest(native_identity))
    }

    /// Whether an account is among them.
    pub fn holds(&self, native_identity: &str) -> bool {
        self.0.contains(&digest(native_identity))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn digest(native_identity: &str) -> [u8; 16] {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        rekey_vault::sha256(native_identity.as_bytes());
    first
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
    let unseen = page.iter().filter(|account| !seen.holds(&account.native_identity)).count();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let next = page.last().map(|account| account.native_identity.clone());
    Ok((count(unseen), count(page.len()), next))
}

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
        if !seen.holds(&account.native_identity) {
            tx.remove_account(&account.id)?;
            removed += 1;
        }
    }
    Ok((removed, page.last().map(|account| account.native_identity.clone())))
}
