//! Reading every account of a source, in bounded memory.

use std::time::Duration;

use rekey_connectors::Listed;
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::timeout};

use super::queue::LEASE;
use crate::{
    App, Error,
    password::links,
    source::{
        self, Source,
        aggregation::{Correlator, Counted, Seen, keep, remove_unseen},
    },
    store::Job,
};

/// Accounts in one transaction.
const BATCH: usize = 500;
/// Accounts on their way from the connector.
const CHANNEL: usize = 64;
/// A claim is renewed at least this often.
const RENEWAL: Duration = Duration::from_secs(15);
/// A source that sends nothing for so long has failed.
const SILENCE: Duration = Duration::from_mins(5);

/// Carries it out; a sentence says why it failed.
pub(super) async fn run(
    app: &App,
    job: &Job,
    counts: &mut Map<String, Value>,
) -> Result<Option<String>, Error> {
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
        Err(Error::Fault(fault)) => return Ok(Some(fault.message)),
        Err(other) => return Err(other),
    };
    let (sender, accounts) = mpsc::channel(CHANNEL);
    let listing = tokio::spawn(async move { connector.accounts(sender).await });
    let aborts = listing.abort_handle();
    let mut reading = Reading { app, job, source, counts, total: Counted::default() };
    let read = reading.read(accounts).await;
    if !matches!(read, Ok(Ok(_))) {
        aborts.abort();
    }
    let seen = match read? {
        Ok(seen) => seen,
        Err(why) => return Ok(Some(why)),
    };
    // Only now is it known whether that was all of them.
    let listed = listing.await;
    let failure = match listed {
        Ok(Ok(())) => None,
        Ok(Err(fault)) => Some(fault.message),
        Err(_) => Some("the connector broke".to_owned()),
    };
    source::keep_health(app, &reading.source.id, failure.is_none()).await?;
    // Accounts of a built-in source come and go with their people.
    if failure.is_none() && !reading.source.is_built_in() {
        reading.remove(seen).await?;
    }
    Ok(failure)
}

struct Reading<'a> {
    app: &'a App,
    job: &'a Job,
    source: Source,
    counts: &'a mut Map<String, Value>,
    total: Counted,
}

impl Reading<'_> {
    /// Keeps every account that comes, until none does; a sentence, if it takes too long.
    async fn read(
        &mut self,
        mut accounts: mpsc::Receiver<Listed>,
    ) -> Result<Result<Seen, String>, Error> {
        let source = self.source.clone();
        let correlator = self.app.store.read(move |tx| Correlator::new(tx, &source)).await?;
        let mut seen = Seen::default();
        let mut silence = Duration::ZERO;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            match timeout(RENEWAL, accounts.recv_many(&mut batch, BATCH)).await {
                Ok(0) => return Ok(Ok(seen)),
                Ok(_) => silence = Duration::ZERO,
                Err(_) => silence += RENEWAL,
            }
            if silence >= SILENCE {
                return Ok(Err(format!("it sent nothing for {} s", SILENCE.as_secs())));
            }
            batch.retain(|listed| seen.add(&listed.native_identity));
            self.keep(&correlator, batch, &seen).await?;
        }
    }

    async fn keep(
        &mut self,
        correlator: &Correlator,
        batch: Vec<Listed>,
        seen: &Seen,
    ) -> Result<(), Error> {
        let (job, source, correlator) =
            (self.job.clone(), self.source.id.clone(), correlator.clone());
        self.counts.insert("total".into(), seen.len().into());
        let counts = self.counts.clone();
        let counted = self
            .app
            .store
            .write(move |tx| -> Result<_, Error> {
                // First, so that a lost claim writes nothing.
                tx.renew_job(&job, LEASE, &counts)?;
                keep(tx, &source, &correlator, &batch)
            })
            .await?;
        self.total.created += counted.created;
        self.total.updated += counted.updated;
        self.counts.insert("created".into(), self.total.created.into());
        self.counts.insert("updated".into(), self.total.updated.into());
        Ok(())
    }

    /// Removes the accounts the source no longer has.
    async fn remove(&mut self, seen: Seen) -> Result<(), Error> {
        let seen = std::sync::Arc::new(seen);
        let mut after = String::new();
        let mut removed = 0;
        loop {
            let (job, source) = (self.job.clone(), self.source.id.clone());
            let (counts, seen, from) = (self.counts.clone(), seen.clone(), after.clone());
            let (gone, next) = self
                .app
                .store
                .write(move |tx| -> Result<_, Error> {
                    tx.renew_job(&job, LEASE, &counts)?;
                    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
                    remove_unseen(tx, &source, &seen, &from, limit)
                })
                .await?;
            removed += gone;
            self.counts.insert("deleted".into(), removed.into());
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }
}
