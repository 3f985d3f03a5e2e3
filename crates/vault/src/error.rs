//! Why the vault did not do it. No text here holds a secret.

/// Why the vault did not do what it was asked.
///
/// Nothing here depends on whether a ciphertext's padding was right: that is said by nobody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ciphertext cannot be one of this key: a public fact.
    #[error(transparent)]
    Ciphertext(#[from] CiphertextFault),
    /// The key encryption key's file could not be made or used. The sentence says what to do.
    #[error("{0}")]
    Kek(String),
    /// The DER is no RSA key of 2048 to 4096 bits.
    #[error("the key is not an RSA key of 2048 to 4096 bits in DER")]
    Key,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// The cryptographic library failed at a public or private RSA operation.
    #[error("the RSA operation failed inside the cryptographic library")]
    Rsa,
    /// A value could not be sealed.
    #[error("the value could not be sealed")]
    Seal,
    /// A sealed value is altered, of another row or purpose, or of another key encryption key.
    #[error(
        "the sealed value does not open: it was altered or moved, or the key encryption key is \
         not the one it was sealed under"
    )]
    Sealed,
    /// The clear text is longer than the padding allows.
    #[error("the clear text has {actual} bytes, and at most {limit} fit")]
    TooLong {
        /// How many bytes fit.
        limit: usize,
        /// How many there are.
        actual: usize,
    },
}

/// Why a ciphertext cannot be one of this key. Decided from public values only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextFault {
    /// As a number it is 0, 1, the modulus less one, or no smaller than the modulus. None of them
    /// is the encryption of a padded message.
    #[error("the ciphertext is not a number in the range of the key")]
    OutOfRange,
    /// It is not as long as the modulus. Lengths in bytes.
    #[error("the ciphertext has {actual} bytes instead of {expected}")]
    WrongLength {
        /// The length of the modulus.
        expected: usize,
        /// The length of the ciphertext.
        actual: usize,
    },
}
