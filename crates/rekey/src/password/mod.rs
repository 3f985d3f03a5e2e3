//! Password changes: the facts that a client needs, the acceptance, the state machine and the
//! status.

pub mod accept;
#[cfg(rekey_proof)]
mod early;
pub mod info;
pub mod state;
pub mod status;
pub mod verdict;

/// The single error text for bad padding, a bad encoding and control characters: a caller must not
/// be able to distinguish the three (Bleichenbacher's attack).
pub fn payload_invalid(key_id: &str) -> String {
    format!(
        "The password change payload is invalid. It did not decrypt to text: encrypt the UTF-8 password without a trailing newline (echo -n) with the key of publicKeyId {key_id}, then base64"
    )
}
