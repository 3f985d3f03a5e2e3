//! Reading every account of a source, in bounded memory.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use rekey_connectors::{Fault, Listed};
use serde_json::{Map, Value};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::queue::LEASE;
use crate::{
    App, Error,
    password::links,
    source::{
        self, Source,
        aggregation::{Counted, Seen, count_unseen, keep, remove_unseen, settle},
        correlation::Correlator,
    },
    store::{Job, Message, Tx},
};

/// Accounts in one transaction, and about how many bytes of them.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1024 * 1024;
/// How long a transaction waits for more accounts once it has one.
const GATHER: Duration = Duration::from_millis(200);
/// What an account may have in names and attributes, as they are kept.
const ACCOUNT_BYTES: usize = 64 * 1024;
/// Accounts looked at in one transaction, to see which are gone.
const PAGE: i64 = 500;
/// Accounts on their way from the connector: few, since a source decides how large they are.
const CHANNEL: usize = 8;
/// A claim is renewed at least this often.
const RENEWAL: Duration = Duration::from_secs(15);
/// So many accounts may go at once, whatever the share of the source's that is.
const FEW: u64 = 5;
/// Why the accounts of a source as it was are not kept.
const CHANGED: &str = "the source was changed meanwhile: aggregate again";
/// A source that sends nothing for so long has failed.
const SILENCE: Duration = Duration::from_mins(5);

/// Carries it out; a sentence says why it failed, and warnings what became otherwise than expected.
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
    let connector = match links::open(app, &source) {
        Ok(connector) => connector,
        Err(Error::Fault(fault)) => return Ok(Some(failed(&fault))),
        Err(other) => return Err(other),
    };
    let (sender, accounts) = mpsc::channel(CHANNEL);
    // Dropped, as when a bound is exceeded, it stops the connector.
    let mut listing = JoinSet::new();
    listing.spawn(async move { connector.accounts(sender).await });
    let time = app.config.limits.aggregation_time;
    let until = Instant::now() + time;
    let correlating = source.clone();
    let correlator = app.store.read(move |tx| Correlator::new(tx, &correlating)).await?;
    let correlator = Arc::new(correlator);
    let mut reading = Reading { app, job, source, correlator, counts, total: Counted::default() };
    let read = timeout_at(until, async {
        let seen = match reading.read(accounts).await? {
            Ok(seen) => seen,
            Err(why) => return Ok(Err(why)),
        };
        // Only now is it known whether that was all of them.
        let listed = listing.join_next().await;
        Ok(Ok((seen, listed)))
    });
    let (seen, listed) = match read.await {
        Ok(Ok(Ok(read))) => read,
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
    // Accounts of a built-in source come and go with their people.
    if failure.is_some() {
        return Ok(failure);
    }
    let seen = Arc::new(seen);
    if !reading.source.is_built_in()
        && let Some(why) = reading.remove(&seen).await?
    {
        return Ok(Some(why.into()));
    }
    match reading.settle(&seen).await? {
        Some(refused) => warnings.extend(in_words(&refused)),
        None => return Ok(Some(CHANGED.into())),
    }
    Ok(None)
}

fn failed(fault: &Fault) -> Message {
    tracing::warn!(error = fault as &dyn StdError, "the accounts of a source cannot be read");
    fault.into()
}

struct Reading<'a> {
    app: &'a App,
    job: &'a Job,
    source: Source,
    correlator: Arc<Correlator>,
    counts: &'a mut Map<String, Value>,
    total: Counted,
}

impl Reading<'_> {
    /// Keeps every account that comes, until none does; a sentence, if they are too many or too large
    /// or do not come.
    async fn read(
        &mut self,
        mut accounts: mpsc::Receiver<Listed>,
    ) -> Result<Result<Seen, String>, Error> {
        let most = self.app.config.limits.accounts_per_source;
        let mut seen = Seen::default();
        let mut listed = 0;
        let mut silence = Duration::ZERO;
        loop {
            let Batch { accounts: mut batch, is_last } = match gather(&mut accounts).await {
                Ok(batch) => batch,
                Err(why) => return Ok(Err(why)),
            };
            silence = if batch.is_empty() { silence + RENEWAL } else { Duration::ZERO };
            // Accounts that are listed again count, too: a source may repeat them without end.
            listed += batch.len();
            let too_many = listed.saturating_sub(most);
            batch.truncate(batch.len() - too_many);
            batch.retain(|listed| seen.add(&listed.native_identity));
            if !self.keep(batch, &seen).await? {
                return Ok(Err(CHANGED.into()));
            }
            if too_many > 0 {
                return Ok(Err(format!(
                    "the source lists more than {most} accounts: those read so far are kept, and none was removed; select fewer, or raise limits.accounts_per_source"
                )));
            }
            if is_last {
                return Ok(Ok(seen));
            }
            if silence >= SILENCE {
                return Ok(Err(format!("it sent nothing for {} s", SILENCE.as_secs())));
            }
        }
    }

    /// Keeps a batch; false if the source was changed meanwhile.
    async fn keep(&mut self, batch: Vec<Listed>, seen: &Seen) -> Result<bool, Error> {
        self.counts.insert("total".into(), seen.len().into());
        let correlator = self.correlator.clone();
        let counted = self.page(move |tx, source| keep(tx, source, &correlator, &batch)).await?;
        let Some(counted) = counted else { return Ok(false) };
        self.total.created += counted.created;
        self.total.updated += counted.updated;
        self.counts.insert("created".into(), self.total.created.into());
        self.counts.insert("updated".into(), self.total.updated.into());
        Ok(true)
    }

    /// Removes the accounts the source no longer has, unless they are so many that the source
    /// rather fails to show them; a sentence, if it removed none for that.
    async fn remove(&mut self, seen: &Arc<Seen>) -> Result<Option<String>, Error> {
        let Some((unseen, all)) = self.count(seen).await? else { return Ok(Some(CHANGED.into())) };
        if seen.is_empty() && all > 0 {
            return Ok(Some(format!(
                "the source listed no account, and rekey knows {all}: nothing was removed; check what the source's account may read and how accounts are selected"
            )));
        }
        let (before, percent) =
            (all.saturating_sub(self.total.created), self.source.delete_threshold());
        if unseen > FEW && unseen.saturating_mul(100) > before.saturating_mul(percent) {
            return Ok(Some(format!(
                "{unseen} of {before} accounts are gone from the source, more than its deleteThreshold of {percent} %: nothing was removed; check the source, or raise deleteThreshold and aggregate again"
            )));
        }
        let mut after = String::new();
        let mut removed = 0;
        loop {
            let (seen, from) = (seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| remove_unseen(tx, &source.id, &seen, &from, PAGE))
                .await?;
            let Some((gone, next)) = page else { return Ok(Some(CHANGED.into())) };
            removed += gone;
            self.counts.insert("deleted".into(), removed.into());
            match next {
                Some(next) => after = next,
                None => return Ok(None),
            }
        }
    }

    /// Decides whose the accounts are, now that all were read: those that name one person together
    /// and so became nobody's. None if the source was changed meanwhile.
    async fn settle(&mut self, seen: &Arc<Seen>) -> Result<Option<Vec<String>>, Error> {
        let mut after = String::new();
        let mut refused = Vec::new();
        loop {
            let (correlator, seen, from) = (self.correlator.clone(), seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| settle(tx, source, &correlator, &seen, &from, PAGE))
                .await?;
            let Some((next, more)) = page else { return Ok(None) };
            refused.extend(more);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(Some(refused))
    }

    /// How many accounts were not seen, and how many there are.
    async fn count(&self, seen: &Arc<Seen>) -> Result<Option<(u64, u64)>, Error> {
        let mut after = String::new();
        let (mut unseen, mut all) = (0, 0);
        loop {
            let (seen, from) = (seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| count_unseen(tx, &source.id, &seen, &from, PAGE))
                .await?;
            let Some((more, looked_at, next)) = page else { return Ok(None) };
            unseen += more;
            all += looked_at;
            match next {
                Some(next) => after = next,
                None => return Ok(Some((unseen, all))),
            }
        }
    }

    /// Does a part of the work while the claim holds; none if the source was changed meanwhile.
    async fn page<T: Send + 'static>(
        &self,
        deed: impl Fn(&mut Tx<'_>, &Source) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let (job, source, counts) = (self.job.clone(), self.source.clone(), self.counts.clone());
        self.app
            .store
            .write(move |tx| -> Result<_, Error> {
                // First, so that a lost claim writes nothing.
                tx.renew_job(&job, LEASE, &counts)?;
                if !tx.hold_source(&source.id, source.version)? {
                    return Ok(None);
                }
                deed(tx, &source).map(Some)
            })
            .await
    }
}

/// Accounts named at most in what a task says.
const NAMED: usize = 20;

fn in_words(refused: &[String]) -> Option<Message> {
    let (named, rest) = refused.split_at(refused.len().min(NAMED));
    let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
    (!named.is_empty()).then(|| {
        format!(
            "all accounts were read, and these became nobody's: {}{more}; correct their correlation attribute, or set severalAccounts on the source, and aggregate again",
            named.join("; ")
        )
        .into()
    })
}

/// What is kept in one transaction.
struct Batch {
    accounts: Vec<Listed>,
    /// Whether the source has listed all.
    is_last: bool,
}

/// The next accounts; none of them if the source sends nothing for [`RENEWAL`]. A sentence, if one of
/// them is too large.
async fn gather(from: &mut mpsc::Receiver<Listed>) -> Result<Batch, String> {
    let mut until = Instant::now() + RENEWAL;
    let (mut accounts, mut bytes) = (Vec::new(), 0);
    while accounts.len() < BATCH && bytes < BATCH_BYTES {
        let listed = match timeout_at(until, from.recv()).await {
            Ok(Some(listed)) => listed,
            Ok(None) => return Ok(Batch { accounts, is_last: true }),
            Err(_) => break,
        };
        let size = size(&listed);
        if size > ACCOUNT_BYTES {
            return Err(too_large(&listed));
        }
        if accounts.is_empty() {
            until = Instant::now() + GATHER;
        }
        bytes += size;
        accounts.push(listed);
    }
    Ok(Batch { accounts, is_last: false })
}

/// The bytes that an account takes, as it is kept.
fn size(listed: &Listed) -> usize {
    let attributes = serde_json::to_vec(&listed.attributes).map_or(usize::MAX, |json| json.len());
    attributes.saturating_add(listed.native_identity.len()).saturating_add(listed.name.len())
}

fn too_large(listed: &Listed) -> String {
    let name: String = listed.native_identity.chars().take(100).collect();
    format!(
        "the account {name} has more than {} KiB of names and attributes: those read before it are kept, and none was removed; name fewer in the source's attributes",
        ACCOUNT_BYTES / 1024
    )
}

fn too_slow(time: Duration) -> String {
    format!(
        "the source did not list its accounts within {} s: those read so far are kept, and none was removed; check the source, or raise limits.aggregation_time",
        time.as_secs()
    )
}
