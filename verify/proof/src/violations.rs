//! What was found wrong, and whether that is as it must be.

use std::sync::{Arc, Mutex, PoisonError};

use rekey_harness::Result;

/// What was found wrong; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<usize>>);

impl Violations {
    /// Says it, and counts it.
    pub(crate) fn blame(&self, what: &str) {
        println!("VIOLATION {what}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// A control must have been found out, everything else must have kept its promise.
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
