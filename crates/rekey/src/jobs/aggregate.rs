//! Reads every account of a source, in bounded memory.

use std::{error::Error as StdError, mem, sync::Arc, time::Duration};

use rekey_connectors::{Fault, Listed};
use serde_json::{Map, Value};
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    gather::{Batch, Pace, RENEWAL, gather, unkeepable},
    queue::LEASE,
};
use crate::{
    App, Error,
    account::correlation::Correlator,
    model::{
        job::{Job, Message},
        source::Source,
    },
    source::{
        self,
        aggregation::{Counted, keep, settle},
        room::Room,
        seen::{Seen, quoted},
    },
    store::{self, Tx},
};

/// Accounts that one transaction reads.
pub(super) const PAGE: i64 = 500;
/// Accounts in the channel from the connector: few, since the source decides how large they are.
const CHANNEL: usize = 8;
/// The error text when the source's configuration changed during the aggregation.
pub(super) const CHANGED: &str = "the source was changed meanwhile: aggregate again";
/// The error text when not all accounts could be stored, so that none was correlated.
const UNSETTLED: &str = "not all accounts of the source are kept, so that no account was given to anybody: make room, and aggregate again";
/// Most transactions of all aggregations at once, so that the store stays available to others.
static WRITING: Semaphore = Semaphore::const_new(4);
/// Up to this many accounts of a source are remembered without a permit of `LARGE`.
const MANY: usize = 100_000;
/// Most sources at once of which more than `MANY` accounts are remembered.
static LARGE: Semaphore = Semaphore::const_new(4);

/// Executes an aggregation. Returns an error text if it failed; adds to `counts` and `warnings`.
pub(super) async fn run(
    app: &App,
    job: &Job,
    counts: &mut Map<String, Value>,
    warnings: &mut Vec<Message>,
) -> Result<Option<Message>, Error> {
    let id = job.source_id.clone();
    let source = app
        .store
        .read(move |tx| -> Result<_, Error> {
            match &id {
                Some(id) => Ok(tx.source(id)?),
                None => Ok(None),
            }
        })
        .await?;
    let Some(source) = source else { return Ok(Some("the source was removed".into())) };
    let connector = match app.handles.open(&source) {
        Ok(connector) => connector,
        Err(Error::Fault(fault)) => return Ok(Some(failed(&fault))),
        Err(other) => return Err(other),
    };
    let (sender, accounts) = mpsc::channel(CHANNEL);
    // Dropping the set, for example when a limit is exceeded, aborts the connector's task.
    let mut listing = JoinSet::new();
    listing.spawn(async move { connector.accounts(sender).await });
    let time = app.config.limits.aggregation_time;
    let until = Instant::now() + time;
    let correlating = source.clone();
    let limits = app.config.limits.clone();
    let begun = app.store.read(move |tx| -> Result<_, Error> {
        Ok((Correlator::new(tx, &correlating)?, Room::of(tx, &correlating.id, &limits)?))
    });
    let (correlator, room) = begun.await?;
    let mut reading = Reading {
        app,
        job,
        source,
        correlator: Arc::new(correlator),
        counts,
        total: Counted::default(),
        room,
        seen: Seen::default(),
        left_out: Named::default(),
        large: None,
    };
    let read = timeout_at(until, async {
        if let Err(why) = reading.read(accounts).await? {
            return Ok(Err(why));
        }
        // Only the connector's result shows whether the listing is complete.
        Ok(Ok(listing.join_next().await))
    });
    let read = read.await;
    warnings.extend(reading.left_out.in_words(
        "these accounts were left out, and stay as rekey knew them",
        "correct them in the source, and aggregate again",
    ));
    warnings.extend(reading.no_room().map(Message::from));
    let listed = match read {
        Ok(Ok(Ok(listed))) => listed,
        Ok(Ok(Err(why))) => return Ok(Some(why.into())),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(Some(too_slow(time).into())),
    };
    let failure = match listed {
        Some(Ok(Ok(()))) => None,
        Some(Ok(Err(fault))) => Some(failed(&fault)),
        Some(Err(_)) | None => Some("the connector broke".into()),
    };
    if !source::keep_health(app, &reading.source, failure.is_none()).await? {
        return Ok(Some(CHANGED.into()));
    }
    if failure.is_some() {
        return Ok(failure);
    }
    let seen = Arc::new(mem::take(&mut reading.seen));
    // Accounts of a built-in source are created and removed with their people.
    if !reading.source.is_built_in()
        && let Some(why) = reading.remove(&seen).await?
    {
        return Ok(Some(why.into()));
    }
    // An account that was not stored may name the same person as a stored one.
    if reading.total.refused > 0 {
        return Ok(Some(UNSETTLED.into()));
    }
    match reading.settle(&seen).await? {
        Some(refused) => warnings.extend(refused.in_words(
            "all accounts were read, and these became nobody's",
            "correct their correlation attribute, or set severalAccounts on the source, and aggregate again",
        )),
        None => return Ok(Some(CHANGED.into())),
    }
    Ok(None)
}

fn failed(fault: &Fault) -> Message {
    tracing::warn!(error = fault as &dyn StdError, "the accounts of a source cannot be read");
    fault.into()
}

pub(super) struct Reading<'a> {
    app: &'a App,
    job: &'a Job,
    pub(super) source: Source,
    correlator: Arc<Correlator>,
    pub(super) counts: &'a mut Map<String, Value>,
    pub(super) total: Counted,
    room: Room,
    seen: Seen,
    left_out: Named,
    /// Held as soon as more than `MANY` accounts are remembered.
    large: Option<SemaphorePermit<'static>>,
}

impl Reading<'_> {
    /// Stores every account that the source lists. The inner `Err` is an error text: the accounts
    /// are too many or come too slowly, or the source was changed meanwhile.
    async fn read(
        &mut self,
        mut accounts: mpsc::Receiver<Listed>,
    ) -> Result<Result<(), String>, Error> {
        let most = self.app.config.limits.accounts_per_source;
        let mut listed = 0;
        let mut pace = Pace::default();
        loop {
            let begun = Instant::now();
            let Batch { accounts: mut batch, is_last } = gather(&mut accounts).await;
            let pace = pace.count(batch.len(), begun.elapsed());
            // Repeated accounts count, too: a source could otherwise repeat them without end.
            listed += batch.len();
            let too_many = listed.saturating_sub(most);
            batch.truncate(batch.len() - too_many);
            batch.retain(|listed| self.is_new(listed));
            if !self.keep(batch).await? || !self.remembers().await? {
                return Ok(Err(CHANGED.into()));
            }
            if too_many > 0 {
                return Ok(Err(format!(
                    "the source lists more than {most} accounts: those read so far are kept, and none was removed; select fewer, or raise limits.accounts_per_source"
                )));
            }
            if is_last {
                return Ok(Ok(()));
            }
            if let Err(why) = pace {
                return Ok(Err(why));
            }
        }
    }

    /// Whether an account can be stored, and is listed for the first time.
    fn is_new(&mut self, listed: &Listed) -> bool {
        let Some(why) = unkeepable(listed) else { return self.seen.add(&listed.native_identity) };
        if self.seen.leave_out(listed) {
            self.left_out.add(|| format!("{}: {why}", quoted(&listed.native_identity)));
        }
        false
    }

    /// Waits until there is memory for all accounts that were seen, and renews the claim meanwhile.
    /// Returns false if the source was changed meanwhile.
    async fn remembers(&mut self) -> Result<bool, Error> {
        while self.large.is_none() && self.seen.len() > MANY {
            match timeout(RENEWAL, LARGE.acquire()).await {
                Ok(place) => self.large = Some(place.map_err(|_| store::Error::Closed)?),
                Err(_) if self.keep(Vec::new()).await? => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Stores a batch. Returns false if the source was changed meanwhile.
    async fn keep(&mut self, batch: Vec<Listed>) -> Result<bool, Error> {
        self.counts.insert("total".into(), self.seen.len().into());
        let (correlator, room) = (self.correlator.clone(), self.room);
        let page = self.page(move |tx, source| {
            let mut room = room;
            let counted = keep(tx, source, &correlator, &batch, &mut room)?;
            Ok((counted, room))
        });
        let Some((counted, room)) = page.await? else { return Ok(false) };
        self.room = room;
        self.total.created += counted.created;
        self.total.updated += counted.updated;
        self.total.refused += counted.refused;
        self.total.trimmed += counted.trimmed;
        self.counts.insert("created".into(), self.total.created.into());
        self.counts.insert("updated".into(), self.total.updated.into());
        Ok(true)
    }

    /// Describes the accounts and attributes that were not stored because a limit was reached.
    fn no_room(&self) -> Option<String> {
        let Counted { refused, trimmed, .. } = self.total;
        let limits = &self.app.config.limits;
        (refused + trimmed > 0).then(|| {
            format!(
                "{refused} new accounts and the new attributes of {trimmed} known ones were not kept: rekey keeps {} accounts and {} MiB of a source, those included that it no longer lists; select fewer, name fewer attributes, or raise limits.accounts_per_source or limits.megabytes_per_source",
                limits.accounts_per_source, limits.megabytes_per_source
            )
        })
    }

    /// Decides on the owners of the accounts, after all were read. Returns the accounts that may
    /// not have the owner they name, with the reasons; `None` if the source was changed meanwhile.
    async fn settle(&mut self, seen: &Arc<Seen>) -> Result<Option<Named>, Error> {
        let mut after = String::new();
        let mut refused = Named::default();
        loop {
            let (correlator, seen, from) = (self.correlator.clone(), seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| settle(tx, source, &correlator, &seen, &from, PAGE))
                .await?;
            let Some((next, more)) = page else { return Ok(None) };
            for words in more {
                refused.add(|| words);
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(Some(refused))
    }

    /// Runs one transaction of the aggregation, and renews the claim in it. `None` if the source
    /// was changed meanwhile.
    pub(super) async fn page<T: Send + 'static>(
        &self,
        deed: impl Fn(&mut Tx<'_>, &Source) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let _turn = WRITING.acquire().await.map_err(|_| store::Error::Closed)?;
        let (job, source, counts) = (self.job.clone(), self.source.clone(), self.counts.clone());
        self.app
            .store
            .write(move |tx| -> Result<_, Error> {
                // The renewal comes first, so that a job with a lost claim writes nothing.
                tx.renew_job(&job, LEASE, &counts)?;
                if !tx.hold_source(&source.id, source.version)? {
                    return Ok(None);
                }
                deed(tx, &source).map(Some)
            })
            .await
    }
}

/// Most accounts that one message of a task names.
const NAMED: usize = 20;

/// Accounts that a message of a task names; the others are only counted.
#[derive(Default)]
struct Named {
    named: Vec<String>,
    more: usize,
}

impl Named {
    fn add(&mut self, words: impl FnOnce() -> String) {
        if self.named.len() < NAMED {
            self.named.push(words());
        } else {
            self.more += 1;
        }
    }

    fn in_words(&self, what: &str, advice: &str) -> Option<Message> {
        let Self { named, more } = self;
        let more = if *more == 0 { String::new() } else { format!("; and {more} more") };
        (!named.is_empty()).then(|| format!("{what}: {}{more}; {advice}", named.join("; ")).into())
    }
}

fn too_slow(time: Duration) -> String {
    format!(
        "the source did not list its accounts within {} s: those read so far are kept, and none was removed; check the source, or raise limits.aggregation_time",
        time.as_secs()
    )
}
