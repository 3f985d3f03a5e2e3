//! The code that handles private keys, and clear-text passwords before a connector receives them.
//!
//! A password takes these steps through this crate:
//!
//! 1. A client encrypts it for a [`PublicKey`] with one [`Padding`].
//! 2. Before any secret is used, [`PublicKey::check`] decides whether the value can be a ciphertext
//!    of this key. Its result may be public.
//! 3. [`PrivateKey::decrypt`] returns a [`Candidate`] for every ciphertext that passed. If the
//!    padding was wrong, the candidate is synthetic, and callers cannot distinguish it from a
//!    genuine one.
//! 4. [`Candidate::judge`] checks it against the [`Policy`], and only then whether it is genuine.
//! 5. Only a genuine, conforming candidate becomes a [`Password`].
//!
//! The [`Sealer`] encrypts the secrets that must be stored, with keys derived from the [`Kek`].

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
