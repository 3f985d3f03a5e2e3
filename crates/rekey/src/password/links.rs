//! The live links to sources: kept by source and version, with a breaker each; and how many changes
//! may be under way on each source.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rekey_connectors::{Connector, Fault, Verification};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::{
    Outcome,
    permits::{Permit, Permits},
};
use crate::{
    App, Error,
    builtin::BuiltIn,
    id::SourceId,
    metrics::Metrics,
    secrets,
    source::{self, Source},
    store::{Claimed, DueQueue},
};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one change may try.
const PAUSE: Duration = Duration::from_secs(10);

/// Every link of this node.
#[derive(Default)]
pub struct Links {
    open: Mutex<HashMap<SourceId, Arc<Link>>>,
    permits: Permits,
}

/// The way to one source, as one version of its configuration has it.
pub struct Link {
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

impl Links {
    /// The link to a source; opened when it is new or its configuration has changed.
    pub fn link(&self, app: &App, source: &Source) -> Result<Arc<Link>, Error> {
        let mut links =
            self.open.lock().map_err(|_| Error::Internal("links are poisoned".into()))?;
        if let Some(link) = links.get(&source.id).filter(|link| link.version == source.version) {
            return Ok(link.clone());
        }
        let link = Arc::new(Link {
            version: source.version,
            kind: source.connector.clone(),
            metrics: app.metrics().clone(),
            verification: source::kind(&source.connector)?.verification,
            connector: open(app, source)?,
            breaker: Mutex::default(),
        });
        links.insert(source.id.clone(), link.clone());
        Ok(link)
    }

    /// Puts a connector in the place of the one that the first configuration of a source would
    /// open: in a simulation.
    pub fn plug(
        &self,
        app: &App,
        source: &SourceId,
        verification: Verification,
        connector: Arc<dyn Connector>,
    ) {
        let link = Link {
            version: 1,
            kind: "simulated".into(),
            metrics: app.metrics().clone(),
            verification,
            connector,
            breaker: Mutex::default(),
        };
        if let Ok(mut links) = self.open.lock() {
            links.insert(source.clone(), Arc::new(link));
        }
    }

    /// Every source's id and kind, and whether its breaker is open.
    pub fn breakers(&self) -> Vec<(String, String, bool)> {
        let Ok(links) = self.open.lock() else { return Vec::new() };
        links.iter().map(|(id, link)| (id.to_string(), link.kind.clone(), link.is_open())).collect()
    }

    fn kind(&self, source: &SourceId) -> String {
        let links = self.open.lock().ok();
        let kind = links.and_then(|links| links.get(source).map(|link| link.kind.clone()));
        kind.unwrap_or_else(|| "unknown".into())
    }

    /// How many changes may be claimed from each queue, `workers` in all and `per_source` on a source
    /// that answers.
    pub fn room(&self, due: &[DueQueue], workers: usize, per_source: usize) -> Vec<(String, i64)> {
        self.permits.divide(due, workers, |source| self.most(source, per_source))
    }

    /// The permits of a change that [`Links::room`] made room for.
    pub fn hold(&self, source_set: &str) -> Permit {
        self.permits.hold(source_set)
    }

    /// The permits of any other change, if there is room for it.
    pub fn try_hold(&self, source_set: &str, per_source: usize) -> Option<Permit> {
        self.permits.try_hold(source_set, |source| self.most(source, per_source))
    }

    /// How many changes may be under way on a source: none while its breaker is open, and one after
    /// that, until it has answered.
    fn most(&self, source: &SourceId, per_source: usize) -> usize {
        let Ok(links) = self.open.lock() else { return 0 };
        match links.get(source) {
            Some(link) if link.is_open() => 0,
            Some(link) if link.is_on_probation() => 1,
            Some(_) | None => per_source,
        }
    }
}

impl App {
    /// Counts a change that a worker of this node ended.
    pub fn ended(&self, change: &Claimed, outcome: Outcome) {
        let made = change.id.made().unwrap_or(self.clock.now());
        let micros = u64::try_from(self.clock.now().0 - made.0).unwrap_or(0);
        let kind = self.links.kind(&change.source_id);
        Span::current().record("state", outcome.label());
        self.metrics().ended(&kind, outcome, Duration::from_micros(micros));
    }
}

/// Opens a connector with the source's opened secrets.
pub fn open(app: &App, source: &Source) -> Result<Arc<dyn Connector>, Error> {
    if source.is_built_in() {
        return Ok(Arc::new(BuiltIn::new(app.store.clone(), source.id.clone())));
    }
    let Source { id, connector, connector_attributes, .. } = source;
    let attributes = secrets::open(&app.sealer, id, connector, &connector_attributes.0)?;
    Ok(source::kind(connector)?.open(attributes, &app.config.egress.allow)?)
}

impl Link {
    fn is_open(&self) -> bool {
        let Ok(breaker) = self.breaker.lock() else { return false };
        breaker.open_until.is_some_and(|until| until > Instant::now())
    }

    /// Whether it failed so often that it must answer one change before it gets more.
    fn is_on_probation(&self) -> bool {
        self.breaker.lock().is_ok_and(|breaker| breaker.open_until.is_some())
    }

    /// Measures a look at the source.
    pub async fn looked<T>(&self, look: impl Future<Output = T>) -> T {
        self.measured("look", look).await
    }

    /// Measures a write to the source.
    pub async fn wrote<T>(&self, write: impl Future<Output = T>) -> T {
        self.measured("write", write).await
    }

    /// Measures one more look, after a write or in its place.
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

    /// The source answered, whatever it said.
    pub fn answered(&self) {
        if let Ok(mut breaker) = self.breaker.lock() {
            *breaker = Breaker::default();
        }
    }

    /// The source did not answer.
    pub fn failed(&self, fault: &Fault) {
        if let Ok(mut breaker) = self.breaker.lock() {
            breaker.failures += 1;
            if breaker.failures >= FAILURES {
                breaker.open_until = Some(Instant::now() + fault.retry_after.unwrap_or(PAUSE));
            }
        }
    }
}
