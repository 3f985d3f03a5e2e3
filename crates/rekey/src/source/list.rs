//! Reads and checks sources.

use std::{
    error::Error as StdError,
    time::{Duration, Instant},
};

use crate::{
    App, Error,
    access::Caller,
    connector::kinds,
    model::{id::SourceId, source::Source},
    store::{Asked, DescribedSource, Listing, Page, Tx},
};

/// Time limit of a check.
const PATIENCE: Duration = Duration::from_secs(20);

/// The result of a check of the connection.
#[derive(Clone, Debug)]
pub struct Check {
    /// The source that was checked.
    pub source: Source,
    /// The reason if the check failed.
    pub failure: Option<String>,
    /// The duration of the check.
    pub elapsed: Duration,
}

/// Lists the sources that a caller may see.
pub async fn list(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    with_identity_now: bool,
) -> Result<Page<DescribedSource>, Error> {
    let mut listing = Listing::of_sources(asked, kinds(), with_identity_now)?;
    if let Some(owner) = caller.only_own_sources() {
        listing = listing.only("owner_id", owner);
    }
    app.store
        .list(caller.principal(), move |tx| {
            let (sources, count) = tx.sources_page(&listing)?;
            let sources: Result<_, Error> =
                sources.into_iter().map(|source| Ok(tx.describe_source(source)?)).collect();
            Ok((sources?, count))
        })
        .await
}

/// Returns a source, if the caller may see it.
pub async fn one(app: &App, caller: &Caller, id: SourceId) -> Result<DescribedSource, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let source = seen(tx, &caller, &id)?;
            Ok(tx.describe_source(source)?)
        })
        .await
}

/// Checks whether the source answers and accepts rekey's credentials, and stores the result.
pub async fn check(app: &App, caller: &Caller, id: SourceId) -> Result<Check, Error> {
    let source = one(app, caller, id).await?.source;
    let began = Instant::now();
    let tested = match app.handles.open(&source) {
        Ok(connector) => match tokio::time::timeout(PATIENCE, connector.test()).await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => {
                tracing::warn!(error = &fault as &dyn StdError, "a source failed its check");
                let may_know = caller.may_know_endpoints();
                Some(if may_know { fault.message } else { fault.public().to_owned() })
            }
            Err(_) => Some(format!("it did not answer within {} s", PATIENCE.as_secs())),
        },
        Err(Error::Fault(fault)) => Some(fault.message),
        Err(other) => return Err(other),
    };
    let elapsed = began.elapsed();
    keep_health(app, &source, tested.is_none()).await?;
    Ok(Check { source, failure: tested, elapsed })
}

/// Stores whether the source worked when it was last used. Returns false if its configuration was
/// changed meanwhile: the result then says nothing about the new configuration.
pub async fn keep_health(app: &App, source: &Source, healthy: bool) -> Result<bool, Error> {
    let status = if healthy { "SOURCE_STATE_HEALTHY" } else { "SOURCE_STATE_FAILURE_SOURCE" };
    let (id, version) = (source.id.clone(), source.version);
    app.store.write(move |tx| Ok(tx.set_source_health(&id, version, healthy, status)?)).await
}

/// Returns a source, if the caller may see it, in the caller's transaction.
pub fn seen(tx: &mut Tx<'_>, caller: &Caller, id: &SourceId) -> Result<Source, Error> {
    tx.source(id)?
        .filter(|source| {
            caller.only_own_sources().is_none_or(|owner| source.owner_id.as_str() == owner)
        })
        .ok_or(Error::NotFound("source"))
}
