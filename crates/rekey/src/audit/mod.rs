//! The audit trail: a record of actions in a form in which alterations are noticed.
//!
//! 1. A transaction also writes the audit row of its action ([`crate::store::Audit`]), with a
//!    digest that cannot be made without the master key. The digest reveals a row that was edited
//!    or forged.
//! 2. [`chain`] gives each committed row the next place in an order without gaps, and a hash over
//!    the entry before it. These reveal a row that was removed, moved or inserted.
//! 3. Every ten seconds the root of a Merkle tree over all places is signed ([`Signer`]) with a key
//!    that is derived from the master key: database access alone is not enough to make another
//!    trail. Every such checkpoint is logged, so that a stored log is a witness: a trail whose end
//!    was cut off contradicts it.
//! 4. Personal data in rows is stored separately ([`crate::model::audit::personal`]), so that it
//!    can be erased.
//! 5. [`verify`] checks all of this and names each fault; [`prove`] returns a request's entries,
//!    each with its path to a signed root.

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

/// The trail of this installation, for one node that appends to it and reads it.
pub struct Trail {
    store: Store,
    clock: Clock,
    signer: Signer,
    attempts: Attempts,
}

impl Trail {
    /// Opens the trail in `store`. `tenant_id` is part of the trail's name.
    pub fn new(
        store: Store,
        clock: Clock,
        sealer: &Sealer,
        tenant_id: &str,
    ) -> Result<Self, Error> {
        let signer = Signer::new(sealer, tenant_id)?;
        Ok(Self { store, clock, signer, attempts: Attempts::default() })
    }

    /// Returns the public key with which others verify the signed checkpoints.
    pub fn verifier_key(&self) -> String {
        self.signer.verifier_key()
    }
}

/// Derives the key of the rows' digests.
pub fn row_key(sealer: &Sealer) -> Result<hmac::Key, Error> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, sealer.derived("audit row")?.as_ref()))
}
