//! Looking at sources.

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

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a check of the connection found.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which source.
    pub source: Source,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The sources a caller may see.
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

/// A source a caller may see.
pub async fn one(app: &App, caller: &Caller, id: SourceId) -> Result<DescribedSource, Error> {
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            let source = seen(tx, &caller, &id)?;
            Ok(tx.describe_source(source)?)
        })
        .await
}

/// Asks the source whether it answers and takes rekey's credentials, and keeps what it said.
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

/// Keeps whether the source worked when it was last asked; false if it was changed meanwhile, and
/// what it said is nothing about it as it is now.
pub async fn keep_health(app: &App, source: &Source, healthy: bool) -> Result<bool, Error> {
    let status = if healthy { "SOURCE_STATE_HEALTHY" } else { "SOURCE_STATE_FAILURE_SOURCE" };
    let (id, version) = (source.id.clone(), source.version);
    app.store.write(move |tx| Ok(tx.set_source_health(&id, version, healthy, status)?)).await
}

/// A source a caller may see, inside a deed.
pub fn seen(tx: &mut Tx<'_>, caller: &Caller, id: &SourceId) -> Result<Source, Error> {
    tx.source(id)?
        .filter(|source| {
            caller.only_own_sources().is_none_or(|owner| source.owner_id.as_str() == owner)
        })
        .ok_or(Error::NotFound("source"))
}
