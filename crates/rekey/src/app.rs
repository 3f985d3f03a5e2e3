//! The shared state of requests and jobs.

use std::{ops::Deref, sync::Arc};

use rekey_vault::Sealer;
use tokio::sync::{Notify, Semaphore};

use crate::{
    audit::Trail,
    config::Config,
    connector::Handles,
    jitter::Jitter,
    keys::Keys,
    metrics::Metrics,
    model::time::Clock,
    sign_in::SignIns,
    store::Store,
    token::{self, Tokens},
    waiters::Waiters,
};

/// The running service; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of [`App`].
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// Seals and opens secrets at rest.
    pub sealer: Sealer,
    /// Issues and verifies access tokens.
    pub tokens: Tokens,
    /// The audit trail.
    pub audit: Arc<Trail>,
    /// Sign-ins, and the throttling of failed ones.
    pub sign_ins: Arc<SignIns>,
    /// The keys of sources.
    pub keys: Keys,
    /// The open source handles: connectors, each with its breaker.
    pub handles: Handles,
    /// Permits for private-key operations: as many at once as there are processors, so that
    /// requests still get processor time.
    pub decryptions: Semaphore,
    /// The requests that wait for the end of a change.
    pub waiters: Waiters,
    /// Wakes the workers of this node when work has arrived.
    pub wake: Notify,
    /// Random numbers that spread the pauses before retries.
    pub jitter: Jitter,
    /// The node's name in claims, drawn at random at each start.
    pub node: String,
}

impl App {
    /// Assembles the service: loads the tenant's id and the token keys, and sets the audit key.
    pub async fn new(
        config: Config,
        store: Store,
        sealer: Sealer,
        clock: Clock,
    ) -> Result<Self, crate::Error> {
        store.seal_audit(crate::audit::row_key(&sealer)?);
        let tenant_id = token::tenant_id(&store).await?;
        let audit = Arc::new(Trail::new(store.clone(), clock.clone(), &sealer, &tenant_id)?);
        let tokens =
            Tokens::load(store.clone(), &sealer, clock.clone(), audit.clone(), tenant_id).await?;
        let jitter = Jitter::default();
        jitter.seed(u64::from_le_bytes(rekey_vault::random()?));
        Ok(Self(Arc::new(Inner {
            sign_ins: Arc::new(SignIns::new(store.clone(), clock.clone(), audit.clone())),
            keys: Keys::new(store.clone(), sealer.clone(), clock.clone(), config.keys.clone()),
            handles: Handles::new(store.clone(), sealer.clone(), config.egress.allow.clone()),
            jitter,
            config,
            store,
            clock,
            sealer,
            audit,
            tokens,
            decryptions: Semaphore::new(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ),
            waiters: Waiters::default(),
            wake: Notify::new(),
            node: uuid::Uuid::new_v4().simple().to_string(),
        })))
    }
}

impl App {
    /// The metrics of this node.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.store.metrics()
    }
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
