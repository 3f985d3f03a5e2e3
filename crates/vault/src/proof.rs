//! The internals that the timing proofs use. A normal build does not contain this module.

use zeroize::Zeroizing;

use crate::{Candidate, Error, PrivateKey, rsa};

/// `block ^ e mod n`: the ciphertext of an arbitrary block, without padding. `block` must be as
/// long as the modulus and smaller as a number.
///
/// # Errors
///
/// [`Error::Key`] if `spki` is not an RSA key of 2048 to 4096 bits, [`Error::Rsa`] if the block has
/// another length or is not smaller than the modulus.
pub fn encrypt_raw(spki: &[u8], block: &[u8]) -> Result<Vec<u8>, Error> {
    rsa::Key::from_spki(spki)?.encrypt_raw(block)
}

/// The synthetic message that replaces the message of `ciphertext` if its padding is wrong.
pub fn synthetic(key: &PrivateKey, ciphertext: &[u8]) -> Vec<u8> {
    key.synthetic(ciphertext)
}

/// The first part of [`PrivateKey::decrypt`]: the RSA operation with the private key.
///
/// # Errors
///
/// The errors of [`PrivateKey::decrypt`].
pub fn open(key: &PrivateKey, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    key.open(ciphertext)
}

/// The second part of [`PrivateKey::decrypt`]: makes a candidate of the block that resulted from
/// this ciphertext.
pub fn depad(key: &PrivateKey, ciphertext: &[u8], block: Zeroizing<Vec<u8>>) -> Candidate {
    key.depad(ciphertext, block)
}
