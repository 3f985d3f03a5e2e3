//! Real sign-ins: whether a system accepts a password.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rekey_harness::Result;

use super::{
    Targets,
    people::{self, dn, postgres},
};

/// Tries an LDAP simple bind.
pub(crate) async fn directory(targets: &Targets, who: &str, password: &str) -> Result<bool> {
    match people::directory(targets).await?.sign_in(&dn(targets, who), password).await? {
        0 => Ok(true),
        49 => Ok(false),
        code => Err(format!("{who} cannot be asked for in the directory: result {code}").into()),
    }
}

/// Tries to open a PostgreSQL session.
pub(crate) async fn database(targets: &Targets, who: &str, password: &str) -> Result<bool> {
    match postgres(targets, who, password).await {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some_and(|code| code.code() == "28P01") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Compares as a sign-in to the built-in source does: Argon2id with 19 MiB and two passes.
pub(crate) async fn built_in(verifier: &str, password: &str) -> Result<bool> {
    let (verifier, password) = (verifier.to_owned(), password.to_owned());
    tokio::task::spawn_blocking(move || {
        let (salt, kept) = verifier.split_once('$').ok_or("a verifier without a salt")?;
        let salt = BASE64_STANDARD_NO_PAD.decode(salt)?;
        let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(|e| e.to_string())?;
        let mut made = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &salt, &mut made)
            .map_err(|e| e.to_string())?;
        Ok(BASE64_STANDARD_NO_PAD.encode(made) == kept)
    })
    .await?
}
