//! Everything that touches a private key or a clear-text password before it goes to a connector.
//!
//! One password's way through this crate:
//!
//! 1. A client encrypts it for a [`PublicKey`] with one [`Padding`].
//! 2. Before anything secret is touched, [`PublicKey::check`] says whether the ciphertext can be
//!    one at all. Its answers are public.
//! 3. [`PrivateKey::decrypt`] gives a [`Candidate`] for every ciphertext that passed. If the
//!    padding was wrong the candidate is synthetic, and nobody can see that.
//! 4. [`Candidate::judge`] holds it against the [`Policy`], and only then asks whether it is
//!    genuine.
//! 5. Only a genuine, conforming candidate becomes a [`Password`].
//!
//! What must be kept is sealed by the [`Sealer`], under the [`Kek`].

mod candidate;
mod depad;
mod digest;
mod error;
mod hex;
mod kek;
mod padding;
mod password;
mod policy;
mod private_key;
#[cfg(rekey_proof)]
pub mod proof;
mod public_key;
mod rsa;
mod seal;

pub use self::candidate::{Candidate, Judgement};
pub use self::digest::{random, sha256};
pub use self::error::{CiphertextFault, Error};
pub use self::hex::hex;
pub use self::kek::Kek;
pub use self::padding::Padding;
pub use self::password::Password;
pub use self::policy::{About, Dictionary, Policy};
pub use self::private_key::PrivateKey;
pub use self::public_key::PublicKey;
pub use self::seal::{Purpose, Sealer};
