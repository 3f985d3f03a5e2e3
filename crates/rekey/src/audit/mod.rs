//! The audit trail: who did what, in a form in which nothing can be altered unnoticed.
//!
//! 1. A deed writes its row in its own transaction ([`crate::store::Audit`]), with a digest that
//!    nobody can make without the master key: a row that was edited or forged is known by it.
//! 2. [`chain`] gives each committed row the next place in an order without gaps, and a hash over
//!    the link before it: a row that was removed, moved or squeezed in is known by that.
//! 3. Every ten seconds the root of a Merkle tree over all places is signed ([`Signer`]) with a
//!    key that follows from the master key: who has the database alone cannot make another trail.
//!    The log tells every such checkpoint, so that whoever keeps the log is a witness, and a trail
//!    whose end was cut off does not fit what the witness has.
//! 4. What rows say of people stands apart from them ([`crate::model::audit::personal`]), so that a
//!    person can be erased.
//! 5. [`verify`] looks at all of it and names what is wrong; [`prove`] shows a request's entries
//!    with the way from each to a signed root.

use aws_lc_rs::hmac;
use rekey_vault::Sealer;

use crate::{Error, model::time::Clock, store::Store};

mod attempt;
mod budget;
pub mod chain;
pub mod export;
mod note;
pub mod prove;
pub mod verify;

pub use self::{
    attempt::{Attempt, Attempts, attempted, attempts_written, finish_attempts, report_missed},
    budget::Party,
    note::{Checkpoint, Signer},
};

/// The trail of this installation, as a node appends to it and reads it.
pub struct Trail {
    store: Store,
    clock: Clock,
    signer: Signer,
    attempts: Attempts,
}

impl Trail {
    /// The trail in `store`. `tenant_id` is part of its name.
    pub fn new(
        store: Store,
        clock: Clock,
        sealer: &Sealer,
        tenant_id: &str,
    ) -> Result<Self, Error> {
        let signer = Signer::new(sealer, tenant_id)?;
        Ok(Self { store, clock, signer, attempts: Attempts::default() })
    }

    /// What others verify its checkpoints with.
    pub fn verifier_key(&self) -> String {
        self.signer.verifier_key()
    }
}

/// The key of the rows' digests.
pub fn row_key(sealer: &Sealer) -> Result<hmac::Key, Error> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, sealer.derived("audit row")?.as_ref()))
}
