//! The verifiers of the built-in source, checked with the Argon2 library directly.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rekey_harness::Result;

/// Whether a stored verifier, `SALT$HASH` of Argon2id, is of this password.
pub(crate) async fn is_verifier_of(verifier: &str, password: &str) -> Result<bool> {
    let (salt, hash) = verifier.split_once('$').ok_or("not a verifier")?;
    let salt = BASE64_STANDARD_NO_PAD.decode(salt)?;
    let (hash, password) = (hash.to_owned(), password.to_owned());
    tokio::task::spawn_blocking(move || {
        let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(|e| e.to_string())?;
        let mut made = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &salt, &mut made)
            .map_err(|e| e.to_string())?;
        Ok(BASE64_STANDARD_NO_PAD.encode(made) == hash)
    })
    .await?
}
