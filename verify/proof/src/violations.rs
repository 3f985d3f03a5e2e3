//! The violations that a proof found, and its verdict.

use std::sync::{Arc, Mutex, PoisonError};

use rekey_harness::Result;

/// A counter of violations; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<usize>>);

impl Violations {
    /// Prints a violation, and counts it.
    pub(crate) fn blame(&self, what: &str) {
        println!("VIOLATION {what}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// The verdict: a control must have violations, and every other run none.
    pub(crate) fn verdict(&self, promise: &str, is_control: bool) -> Result<()> {
        let found = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (is_control, found) {
            (false, 0) => println!("ok {promise}"),
            (true, 1..) => println!("ok {promise}: negative control, {found} violations found"),
            (false, _) => return Err(format!("{found} violations of: {promise}").into()),
            (true, 0) => return Err(format!("broken on purpose and not found: {promise}").into()),
        }
        Ok(())
    }
}
