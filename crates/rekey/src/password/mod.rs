//! Password changes: from the question what can be changed to the proof that it was.

pub mod accept;
#[cfg(rekey_proof)]
mod early;
pub mod info;
pub mod state;
pub mod status;
pub mod verdict;

/// The one text for padding, encoding and control characters: it must not tell them apart.
pub fn payload_invalid(key_id: &str) -> String {
    format!(
        "The password change payload is invalid. It did not decrypt to text: encrypt the UTF-8 password without a trailing newline (echo -n) with the key of publicKeyId {key_id}, then base64"
    )
}
