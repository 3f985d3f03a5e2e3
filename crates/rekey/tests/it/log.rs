//! SQLite's write-ahead log begins anew while the store is written to, and nothing is lost by it.

use rekey::{
    Error,
    clock::Clock,
    store::{Store, Tx},
};

/// One value fills so many bytes of the log.
const VALUE: usize = 1 << 20;
/// A log that was never moved would be this long at the end.
const MOST: usize = 600;

#[tokio::test]
async fn the_log_begins_anew_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("rekey.db"), folder.path().join("rekey.db-wal"));
    let store = Store::open(file.to_str().unwrap(), Clock::default()).await.unwrap();
    let length = || usize::try_from(log.metadata().unwrap().len()).unwrap() / VALUE;
    let mut written = 0;
    // Until twice as much was written as the log is long: then its beginning was used again.
    while written < 2 * length().max(64) {
        assert!(written < MOST, "{written} MB were written, and all are in the log");
        let put = move |tx: &mut Tx<'_>| -> Result<_, Error> {
            Ok(tx.settle_setting(&format!("value {written}"), &"x".repeat(VALUE))?)
        };
        store.write(put).await.unwrap();
        written += 1;
    }
    store.close().await;
    drop(store);

    let store = Store::open(file.to_str().unwrap(), Clock::default()).await.unwrap();
    let sql = "SELECT COUNT(*) AS value FROM setting WHERE name LIKE 'value %'";
    let kept = store.read(move |tx: &mut Tx<'_>| Ok::<_, Error>(tx.count(sql)?)).await.unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), written);
}
