//! Arbitrary ciphertexts, in base64 and raw: public faults are reported, and every other ciphertext
//! yields a candidate that is never accepted and is judged the same each time.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{About, Judgement, Padding, Policy, PrivateKey, PublicKey};

static KEYS: LazyLock<Vec<(PrivateKey, PublicKey)>> = LazyLock::new(|| {
    [Padding::Pkcs1v15, Padding::OaepSha256]
        .into_iter()
        .filter_map(|padding| {
            let private = PrivateKey::generate(padding).ok()?;
            let public = PublicKey::from_spki(&private.public_spki().ok()?).ok()?;
            Some((private, public))
        })
        .collect()
});

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let decoded = BASE64_STANDARD.decode(bytes).unwrap_or_default();
    // Padded to the right length, which random inputs rarely have.
    let mut whole = bytes.to_vec();
    whole.resize(256, 0x5a);
    for ciphertext in [bytes, &decoded, &whole] {
        for (private, public) in KEYS.iter() {
            let judged = || {
                let judgement = private.decrypt(ciphertext).ok()?;
                Some(match judgement.judge(&Policy::default(), &About::default()) {
                    Judgement::Accepted(_) => panic!("what nobody encrypted was accepted"),
                    Judgement::PayloadInvalid => Vec::new(),
                    Judgement::Violations(rules) => rules,
                })
            };
            let first = judged();
            assert_eq!(first.is_some(), public.check(ciphertext).is_ok());
            assert_eq!(first, judged());
        }
    }
}
