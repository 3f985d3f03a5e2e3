//! The padding of a message before RSA.

/// The padding of a message before RSA, a property of the key. The other padding is never tried
/// with the key, because an attack on one would decrypt messages of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// RSAES-OAEP with SHA-256 and MGF1 with SHA-256, empty label (RFC 8017, section 7.1).
    OaepSha256,
    /// RSAES-PKCS1-v1_5 (RFC 8017, section 7.2), the default of `openssl pkeyutl -encrypt`.
    Pkcs1v15,
}

impl Padding {
    /// The name in the configuration and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OaepSha256 => "oaep-sha256",
            Self::Pkcs1v15 => "pkcs1v15",
        }
    }

    /// Returns the padding of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::OaepSha256, Self::Pkcs1v15].into_iter().find(|padding| padding.as_str() == name)
    }

    /// The greatest length of a clear text, in bytes, for a modulus of `modulus_len` bytes: for
    /// 256, 190 with OAEP and 245 with PKCS#1 v1.5.
    pub fn max_clear(self, modulus_len: usize) -> usize {
        modulus_len.saturating_sub(match self {
            Self::OaepSha256 => 66,
            Self::Pkcs1v15 => 11,
        })
    }
}
