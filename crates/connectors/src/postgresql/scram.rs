//! The verifier PostgreSQL keeps instead of a password: SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rekey_vault::Password;
use zeroize::Zeroizing;

/// PostgreSQL's default, and what its own clients use.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// More rounds than any server is set to; beyond, comparing is not worth the time.
const MOST_ITERATIONS: u32 = 200_000;

/// Computes the verifier of `password`: the same one for the same salt. Costs about a millisecond.
pub(super) fn verifier(password: &Password, salt: &[u8; 16]) -> String {
    make(password, ITERATIONS, salt)
}

/// Whether `stored` was made from `password`, by whomever; `None` if it is no such verifier.
pub(super) fn is_verifier_of(stored: &str, password: &Password) -> Option<bool> {
    let (iterations, rest) = stored.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
    let iterations: NonZeroU32 = iterations.parse().ok()?;
    let salt = STANDARD.decode(rest.split_once('$')?.0).ok()?;
    if iterations.get() > MOST_ITERATIONS {
        return None;
    }
    let ours = make(password, iterations, &salt);
    Some(constant_time::verify_slices_are_equal(ours.as_bytes(), stored.as_bytes()).is_ok())
}

fn make(password: &Password, iterations: NonZeroU32, salt: &[u8]) -> String {
    let prepared = prepare(password.expose());
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

/// Normalizes like the server and libpq do: `SASLprep` (RFC 4013), or, where that prohibits a
/// character, the text as it is.
fn prepare(clear: &str) -> Zeroizing<String> {
    match stringprep::saslprep(clear) {
        Ok(prepared) => Zeroizing::new(prepared.into_owned()),
        Err(_) => Zeroizing::new(clear.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_depends_on_the_salt_and_on_nothing_else() {
        let salt = *b"0123456789abcdef";
        let make = |clear: &str| verifier(&Password::new(clear.to_owned()), &salt);
        assert_eq!(make("x"), make("x"));
        assert!(make("x").starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"));
        // A decomposed and a composed accent are the same password (NFKC).
        assert_eq!(make("e\u{301}"), make("\u{e9}"));
        assert_ne!(make("x"), make(" x"));
    }

    #[test]
    fn a_verifier_that_somebody_else_made_is_compared_too() {
        let password = Password::new("x".to_owned());
        let theirs = make(&password, NonZeroU32::new(5_000).unwrap(), b"another salt");
        assert_eq!(is_verifier_of(&theirs, &password), Some(true));
        assert_eq!(is_verifier_of(&theirs, &Password::new("y".to_owned())), Some(false));
        for odd in ["", "md5abc", "SCRAM-SHA-256$0:AA==$a:b", "SCRAM-SHA-256$999999999:AA==$a:b"] {
            assert_eq!(is_verifier_of(odd, &password), None, "{odd}");
        }
    }
}
