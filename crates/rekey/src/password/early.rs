//! Answers `202` before the commit: a negative control that exists only in a proof build, and only
//! runs when the proof asks for it.

use tokio::sync::mpsc;

use crate::{
    Error,
    store::{Store, Tx},
};

/// Runs a transaction and returns its result before the commit.
pub(super) async fn early<T: Clone + Send + 'static>(
    store: &Store,
    transaction: impl Fn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (result, mut results) = mpsc::unbounded_channel();
    let store = store.clone();
    let whole = tokio::spawn(async move {
        store
            .write(move |tx| {
                let done = transaction(tx)?;
                let _ = result.send(done.clone());
                Ok::<_, Error>(done)
            })
            .await
    });
    match results.recv().await {
        Some(done) => Ok(done),
        None => whole.await.map_err(|error| Error::Internal(error.to_string()))?,
    }
}
