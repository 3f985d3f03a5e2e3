//! The open handles of sources, one for each source and version of its configuration, each with a
//! circuit breaker; and the number of changes that may be under way on each source.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rekey_connectors::{Connector, Egress, Fault, Verification};
use rekey_vault::Sealer;
use tokio::time::Instant;
use tracing::Instrument;

use super::{built_in::BuiltIn, kind, permits::Permits, secrets};
use crate::{
    Error,
    connector::Permit,
    metrics::Metrics,
    model::{id::SourceId, source::Source},
    store::{DueQueue, Store},
};

/// Consecutive failures that open the breaker.
const FAILURES: u32 = 5;
/// How long the breaker stays open before one change may try the source.
const PAUSE: Duration = Duration::from_secs(10);

/// All handles of this node.
pub struct Handles {
    store: Store,
    sealer: Sealer,
    egress: Egress,
    open: Mutex<HashMap<SourceId, Arc<SourceHandle>>>,
    permits: Permits,
}

/// The connection to one source, for one version of its configuration.
pub struct SourceHandle {
    version: i64,
    kind: String,
    metrics: Arc<Metrics>,
    /// How a confirmed change is verified.
    pub verification: Verification,
    /// The connector.
    pub connector: Arc<dyn Connector>,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Handles {
    /// Starts without an open handle. `egress` has the addresses that connectors may reach.
    pub fn new(store: Store, sealer: Sealer, egress: Egress) -> Self {
        let (open, permits) = (Mutex::default(), Permits::default());
        Self { store, sealer, egress, open, permits }
    }

    /// Opens a connector with the source's secrets in clear.
    pub fn open(&self, source: &Source) -> Result<Arc<dyn Connector>, Error> {
        if source.is_built_in() {
            return Ok(Arc::new(BuiltIn::new(self.store.clone(), source.id.clone())));
        }
        let Source { id, connector, connector_attributes, .. } = source;
        let attributes = secrets::open(&self.sealer, id, connector, &connector_attributes.0)?;
        Ok(kind(connector)?.open(attributes, &self.egress)?)
    }

    /// Returns the handle of a source. Opens it if the source is new or its configuration has
    /// changed.
    pub fn get(&self, source: &Source) -> Result<Arc<SourceHandle>, Error> {
        let mut handles =
            self.open.lock().map_err(|_| Error::Internal("handles are poisoned".into()))?;
        if let Some(handle) =
            handles.get(&source.id).filter(|handle| handle.version == source.version)
        {
            return Ok(handle.clone());
        }
        let handle = Arc::new(SourceHandle {
            version: source.version,
            kind: source.connector.clone(),
            metrics: self.store.metrics().clone(),
            verification: kind(&source.connector)?.verification,
            connector: self.open(source)?,
            breaker: Mutex::default(),
        });
        handles.insert(source.id.clone(), handle.clone());
        Ok(handle)
    }

    /// Installs a connector in place of the one that version 1 of a source would open, for
    /// simulations.
    pub fn plug(
        &self,
        source: &SourceId,
        verification: Verification,
        connector: Arc<dyn Connector>,
    ) {
        let handle = SourceHandle {
            version: 1,
            kind: "simulated".into(),
            metrics: self.store.metrics().clone(),
            verification,
            connector,
            breaker: Mutex::default(),
        };
        if let Ok(mut handles) = self.open.lock() {
            handles.insert(source.clone(), Arc::new(handle));
        }
    }

    /// Returns the id and the kind of every source that has a handle, and whether its breaker is
    /// open.
    pub fn breakers(&self) -> Vec<(String, String, bool)> {
        let Ok(handles) = self.open.lock() else { return Vec::new() };
        handles
            .iter()
            .map(|(id, handle)| (id.to_string(), handle.kind.clone(), handle.is_open()))
            .collect()
    }

    /// Returns the kind of a source, or `unknown` if this node has no handle of it.
    pub fn kind(&self, source: &SourceId) -> String {
        let handles = self.open.lock().ok();
        let kind =
            handles.and_then(|handles| handles.get(source).map(|handle| handle.kind.clone()));
        kind.unwrap_or_else(|| "unknown".into())
    }

    /// Returns how many changes may be claimed from each queue: at most `workers` in total, and at
    /// most `per_source` on a source that answers.
    pub fn room(&self, due: &[DueQueue], workers: usize, per_source: usize) -> Vec<(String, i64)> {
        self.permits.divide(due, workers, |source| self.most(source, per_source))
    }

    /// Takes the permits of a change that was claimed within the limits of [`Handles::room`].
    pub fn hold(&self, source_set: &str) -> Permit {
        self.permits.hold(source_set)
    }

    /// Takes the permits of a change that was claimed without regard to them; `None` if a source is
    /// full.
    pub fn try_hold(&self, source_set: &str, per_source: usize) -> Option<Permit> {
        self.permits.try_hold(source_set, |source| self.most(source, per_source))
    }

    /// Returns how many changes may be under way on a source: none while its breaker is open, then
    /// one until the source has answered.
    fn most(&self, source: &SourceId, per_source: usize) -> usize {
        let Ok(handles) = self.open.lock() else { return 0 };
        match handles.get(source) {
            Some(handle) if handle.is_open() => 0,
            Some(handle) if handle.is_on_probation() => 1,
            Some(_) | None => per_source,
        }
    }
}

impl SourceHandle {
    fn is_open(&self) -> bool {
        let Ok(breaker) = self.breaker.lock() else { return false };
        breaker.open_until.is_some_and(|until| until > Instant::now())
    }

    /// Whether the source failed so often that it must answer one change before it gets more.
    fn is_on_probation(&self) -> bool {
        self.breaker.lock().is_ok_and(|breaker| breaker.open_until.is_some())
    }

    /// Measures an observation of the source.
    pub async fn looked<T>(&self, look: impl Future<Output = T>) -> T {
        self.measured("look", look).await
    }

    /// Measures a write to the source.
    pub async fn wrote<T>(&self, write: impl Future<Output = T>) -> T {
        self.measured("write", write).await
    }

    /// Measures a verification: a further read, after a write or instead of one.
    pub async fn verified<T>(&self, verify: impl Future<Output = T>) -> T {
        self.measured("verify", verify).await
    }

    async fn measured<T>(&self, operation: &'static str, work: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let span = tracing::info_span!("target", operation, source_kind = self.kind);
        let done = work.instrument(span).await;
        self.metrics.target(operation, &self.kind, since.elapsed());
        done
    }

    /// Records that the source answered, whatever the answer was.
    pub fn answered(&self) {
        if let Ok(mut breaker) = self.breaker.lock() {
            *breaker = Breaker::default();
        }
    }

    /// Records that the source did not answer.
    pub fn failed(&self, fault: &Fault) {
        if let Ok(mut breaker) = self.breaker.lock() {
            breaker.failures += 1;
            if breaker.failures >= FAILURES {
                breaker.open_until = Some(Instant::now() + fault.retry_after.unwrap_or(PAUSE));
            }
        }
    }
}
