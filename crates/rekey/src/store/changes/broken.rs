//! The order of acceptance, broken on purpose: only in a proof build, and only when it is asked for.

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

/// How long some wait after they have drawn: long enough for a later one to be done.
const OVERTAKEN: Duration = Duration::from_millis(400);
/// One in so many waits: what shares its transaction waits, too, and a node has few connections.
const RARELY: usize = 16;

thread_local! {
    /// The place that the deed on this thread has drawn too early.
    static DRAWN: Cell<Option<i64>> = const { Cell::new(None) };
}

impl Tx<'_> {
    /// Draws a place before the accounts are locked.
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

    /// Gives a change the place that was drawn for it too early.
    pub(super) fn take_early(&mut self, entered: Option<i64>) -> Result<Option<i64>> {
        let (Some(seq), Some(early)) = (entered, DRAWN.take()) else { return Ok(entered) };
        let sql = "UPDATE password_change_target SET change_seq = $2 WHERE change_seq = $1";
        self.run(sql, &[&seq, &early])?;
        self.run_one("UPDATE password_change SET seq = $2 WHERE seq = $1", &[&seq, &early])?;
        Ok(Some(early))
    }
}
