//! Any ciphertext, in base64 and raw: public faults are told, everything else is a candidate that is
//! never accepted, and says the same each time.

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

/// Tries it.
pub fn run(bytes: &[u8]) {
    let decoded = BASE64_STANDARD.decode(bytes).unwrap_or_default();
    // Of the right length more often than chance would have it.
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
