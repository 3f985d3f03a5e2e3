//! The errors of the vault. No text here contains a secret.

/// The reason why an operation of the vault failed.
///
/// No variant depends on whether the padding of a ciphertext was right: that is never reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value cannot be a ciphertext of this key, which is a public fact.
    #[error(transparent)]
    Ciphertext(#[from] CiphertextFault),
    /// The file of the key encryption key could not be created or used. The text says what to do.
    #[error("{0}")]
    Kek(String),
    /// The DER is not an RSA key of 2048 to 4096 bits.
    #[error("the key is not an RSA key of 2048 to 4096 bits in DER")]
    Key,
    /// The operating system returned no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// The cryptographic library failed in an RSA operation.
    #[error("the RSA operation failed inside the cryptographic library")]
    Rsa,
    /// A value could not be sealed.
    #[error("the value could not be sealed")]
    Seal,
    /// A sealed value was altered, belongs to another row or purpose, or was sealed under another
    /// key encryption key.
    #[error(
        "the sealed value does not open: it was altered or moved, or the key encryption key is \
         not the one it was sealed under"
    )]
    Sealed,
    /// The clear text is longer than the padding allows.
    #[error("the clear text has {actual} bytes, and at most {limit} fit")]
    TooLong {
        /// The greatest length that fits, in bytes.
        limit: usize,
        /// The length of the clear text, in bytes.
        actual: usize,
    },
}

/// The reason why a value cannot be a ciphertext of a key. It depends on public values only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextFault {
    /// As a number, it is 0, 1, the modulus minus 1, or not smaller than the modulus. None of these
    /// is the encryption of a padded message.
    #[error("the ciphertext is not a number in the range of the key")]
    OutOfRange,
    /// It has another length than the modulus; lengths are in bytes.
    #[error("the ciphertext has {actual} bytes instead of {expected}")]
    WrongLength {
        /// The length of the modulus.
        expected: usize,
        /// The length of the ciphertext.
        actual: usize,
    },
}
