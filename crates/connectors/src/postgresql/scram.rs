//! The verifier that PostgreSQL stores instead of a password: SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rekey_vault::Password;
use zeroize::Zeroizing;

use super::computation::compute;
use crate::Fault;

/// PostgreSQL's default, which its own clients use as well.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// More iterations than any server is configured with; a comparison with more costs too much time.
const MOST_ITERATIONS: u32 = 200_000;

/// Computes the verifier of `password`, which is the same for the same salt.
pub(super) async fn verifier(password: &Password, salt: &[u8; 16]) -> Result<String, Fault> {
    make(password, ITERATIONS, salt.to_vec()).await
}

/// Whether `stored` was derived from `password`, by any client; `None` if it is not such a verifier
/// or has more iterations than `MOST_ITERATIONS`.
pub(super) async fn is_verifier_of(
    stored: &str,
    password: &Password,
) -> Result<Option<bool>, Fault> {
    let Some((iterations, salt)) = parameters(stored) else { return Ok(None) };
    let ours = make(password, iterations, salt).await?;
    Ok(Some(constant_time::verify_slices_are_equal(ours.as_bytes(), stored.as_bytes()).is_ok()))
}

/// The iterations and the salt of a verifier.
fn parameters(stored: &str) -> Option<(NonZeroU32, Vec<u8>)> {
    let (iterations, rest) = stored.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
    let iterations: NonZeroU32 = iterations.parse().ok()?;
    let salt = STANDARD.decode(rest.split_once('$')?.0).ok()?;
    (iterations.get() <= MOST_ITERATIONS).then_some((iterations, salt))
}

async fn make(password: &Password, iterations: NonZeroU32, salt: Vec<u8>) -> Result<String, Fault> {
    let prepared = prepare(password.expose());
    compute(move || derive(&prepared, iterations, &salt)).await
}

fn derive(prepared: &str, iterations: NonZeroU32, salt: &[u8]) -> String {
    let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        prepared.as_bytes(),
        salted.as_mut_slice(),
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

/// Normalizes the password as the server and libpq do: with `SASLprep` (RFC 4013), or not at all if
/// that prohibits a character.
fn prepare(clear: &str) -> Zeroizing<String> {
    match stringprep::saslprep(clear) {
        Ok(prepared) => Zeroizing::new(prepared.into_owned()),
        Err(_) => Zeroizing::new(clear.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgresql::computation::tests::turns_beside;

    fn password(clear: &str) -> Password {
        Password::new(clear.to_owned())
    }

    #[tokio::test]
    async fn a_verifier_depends_on_the_salt_and_on_nothing_else() {
        let salt = *b"0123456789abcdef";
        let make = async |clear: &str| verifier(&password(clear), &salt).await.unwrap();
        let first = make("x").await;
        assert_eq!(first, make("x").await);
        assert!(first.starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"));
        // A decomposed and a composed accent are the same password (NFKC).
        assert_eq!(make("e\u{301}").await, make("\u{e9}").await);
        assert_ne!(first, make(" x").await);
    }

    #[tokio::test]
    async fn a_verifier_that_another_client_made_is_compared_beside_other_tasks() {
        let most = NonZeroU32::new(MOST_ITERATIONS).unwrap();
        let theirs = derive("x", most, b"another salt");
        let (same, turns) = turns_beside(is_verifier_of(&theirs, &password("x"))).await;
        assert_eq!(same.unwrap(), Some(true));
        assert!(turns > 100, "other tasks had {turns} turns");
        assert_eq!(is_verifier_of(&theirs, &password("y")).await.unwrap(), Some(false));
        for odd in ["", "md5abc", "SCRAM-SHA-256$0:AA==$a:b", "SCRAM-SHA-256$200001:AA==$a:b"] {
            assert_eq!(is_verifier_of(odd, &password("x")).await.unwrap(), None, "{odd}");
        }
    }
}
