//! What every request and every job may use.

use std::{ops::Deref, sync::Arc};

use rekey_vault::Sealer;
use tokio::sync::{Notify, Semaphore};

use crate::{
    audit::{Attempts, Signer},
    clock::Clock,
    config::Config,
    jitter::Jitter,
    keys::Keys,
    metrics::Metrics,
    password::{links::Links, status::Waiting},
    sign_in::SignIns,
    store::Store,
    token::Tokens,
};

/// The running service; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What is inside [`App`].
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// Everything that lasts.
    pub store: Store,
    /// The one clock.
    pub clock: Clock,
    /// Hides secrets at rest.
    pub sealer: Sealer,
    /// Signs and verifies access tokens.
    pub tokens: Tokens,
    /// Signs checkpoints of the audit trail.
    pub audit: Signer,
    /// The attempts that have rows in the audit trail, or are counted for one.
    pub attempts: Attempts,
    /// Who failed to sign in, and how often.
    pub sign_ins: SignIns,
    /// The opened private keys of sources.
    pub keys: Keys,
    /// The live links to sources.
    pub links: Links,
    /// Private-key operations at once: one per processor, so that requests still get their turn.
    pub decryptions: Semaphore,
    /// Who waits for the end of which change.
    pub waiting: Waiting,
    /// Wakes the workers of this node when there is something to do.
    pub wake: Notify,
    /// How long to wait before the next try.
    pub jitter: Jitter,
    /// This node's name in claims: random per start.
    pub node: String,
}

impl App {
    /// Puts the parts together.
    pub async fn new(
        config: Config,
        store: Store,
        sealer: Sealer,
        clock: Clock,
    ) -> Result<Self, crate::Error> {
        store.seal_audit(crate::audit::row_key(&sealer)?);
        let tokens = Tokens::load(&store, &sealer, &clock).await?;
        let audit = Signer::new(&sealer, tokens.tenant_id())?;
        let jitter = Jitter::default();
        jitter.seed(u64::from_le_bytes(rekey_vault::random()?));
        Ok(Self(Arc::new(Inner {
            jitter,
            config,
            store,
            clock,
            sealer,
            audit,
            attempts: Attempts::default(),
            tokens,
            sign_ins: SignIns::default(),
            keys: Keys::default(),
            links: Links::default(),
            decryptions: Semaphore::new(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ),
            waiting: Waiting::default(),
            wake: Notify::new(),
            node: uuid::Uuid::new_v4().simple().to_string(),
        })))
    }
}

impl App {
    /// What this node counts.
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
