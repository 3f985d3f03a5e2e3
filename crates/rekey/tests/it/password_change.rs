//! The pipeline below HTTP.

use crate::site::{Site, on_both_stores};

on_both_stores!(a_store_opens_and_nothing_is_due);

async fn a_store_opens_and_nothing_is_due(site: Site) {
    let due: Result<bool, rekey::Error> = site.app.store.read(|tx| Ok(tx.anything_due()?)).await;
    assert!(!due.unwrap());
}
