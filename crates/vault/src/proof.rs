//! What the proofs of timing must know of the inside. Not there in a normal build.

use zeroize::Zeroizing;

use crate::{Candidate, Error, PrivateKey, rsa};

/// `block ^ e mod n`: the ciphertext of a block that nobody would pad so. `block` must be as long
/// as the modulus and smaller as a number.
///
/// # Errors
///
/// [`Error::Key`] if `spki` is no RSA key of 2048 to 4096 bits, [`Error::Rsa`] if the block is no
/// such number.
pub fn encrypt_raw(spki: &[u8], block: &[u8]) -> Result<Vec<u8>, Error> {
    rsa::Key::from_spki(spki)?.encrypt_raw(block)
}

/// The message that stands in for this ciphertext's if its padding is wrong.
pub fn synthetic(key: &PrivateKey, ciphertext: &[u8]) -> Vec<u8> {
    key.synthetic(ciphertext)
}

/// The first part of [`PrivateKey::decrypt`]: the private operation.
///
/// # Errors
///
/// As there.
pub fn open(key: &PrivateKey, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    key.open(ciphertext)
}

/// The second part: what is made of the block that came of this ciphertext.
pub fn depad(key: &PrivateKey, ciphertext: &[u8], block: Zeroizing<Vec<u8>>) -> Candidate {
    key.depad(ciphertext, block)
}
