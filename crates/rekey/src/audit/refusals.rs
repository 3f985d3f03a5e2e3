//! What strangers tried in vain: recorded, but not so often that they fill the store.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota};

use crate::{
    App,
    store::{Audit, Tx},
};

/// Rows per second on one node, over time; ten times as many at once. What is more is logged only.
const RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// How many of them there were lately.
pub struct Refusals(DefaultDirectRateLimiter);

impl Default for Refusals {
    fn default() -> Self {
        Self(DefaultDirectRateLimiter::direct(Quota::per_second(RATE).allow_burst(AT_ONCE)))
    }
}

/// Records a try that changed nothing. The store's refusal is logged: nothing depends on the row.
pub async fn refused(app: &App, action: &'static str, object: Option<&str>, why: &'static str) {
    let object = object.unwrap_or("unknown").to_owned();
    tracing::info!(action, object, why, "refused");
    if app.refusals.0.check().is_err() {
        return;
    }
    let kept = app.store.write(move |tx: &mut Tx<'_>| {
        let (actor, object, detail) = ("unknown", object.as_str(), serde_json::json!({}));
        tx.audit_failure(Audit { actor, action, object, detail }, why)
    });
    if let Err(error) = kept.await {
        tracing::warn!(%error, "a refusal could not be recorded");
    }
}
