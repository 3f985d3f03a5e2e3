//! A negative control: the order of acceptance, broken on purpose, in a proof build and on request.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    model::column::One,
    proof,
    store::{Result, Tx},
};

/// How long some transactions wait after drawing a number: long enough for a later one to commit.
const OVERTAKEN: Duration = Duration::from_millis(400);
/// One in this number of transactions waits. The others in its group commit wait as well, and a
/// node has few connections.
const RARELY: usize = 16;

thread_local! {
    /// The sequence number that the transaction on this thread has drawn too early.
    static DRAWN: Cell<Option<i64>> = const { Cell::new(None) };
}

impl Tx<'_> {
    /// Draws a sequence number before the accounts are locked.
    pub(super) fn draw_early(&mut self) -> Result<()> {
        static DRAWS: AtomicUsize = AtomicUsize::new(0);
        if self.is_postgres() && proof::asks_for("early_sequence") {
            let sql = "SELECT nextval(pg_get_serial_sequence('password_change', 'seq')) AS value";
            let One(seq) = self.one(sql, &[])?;
            DRAWN.set(Some(seq));
            if DRAWS.fetch_add(1, Ordering::Relaxed).is_multiple_of(RARELY) {
                thread::sleep(OVERTAKEN);
            }
        }
        Ok(())
    }

    /// Replaces a change's sequence number by the one drawn too early.
    pub(super) fn take_early(&mut self, entered: Option<i64>) -> Result<Option<i64>> {
        let (Some(seq), Some(early)) = (entered, DRAWN.take()) else { return Ok(entered) };
        let sql = "UPDATE password_change_target SET change_seq = $2 WHERE change_seq = $1";
        self.run(sql, &[&seq, &early])?;
        self.run_one("UPDATE password_change SET seq = $2 WHERE seq = $1", &[&seq, &early])?;
        Ok(Some(early))
    }
}
