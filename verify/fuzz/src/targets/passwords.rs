//! Arbitrary passwords, policies, dictionaries and names: judging must not panic, and no message
//! may contain the password.

use crate::words;
use rekey_vault::{About, Dictionary, Password, Policy};

/// Surrounds the password, and occurs in no message unless the message contains the password. The
/// password alone could happen to be a part of a message.
const MARK: char = '\u{1f5dd}';

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let parts: Vec<_> =
        words(bytes).into_iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let part = |at: usize| parts.get(at).cloned().unwrap_or_default();
    let policy: Policy = serde_json::from_str(&part(0)).unwrap_or_else(|_| Policy {
        use_dictionary: true,
        use_account_attributes: true,
        use_identity_attributes: true,
        validate_against_account_id: true,
        validate_against_account_name: true,
        account_id_min_word_length: 3,
        max_repeated_chars: 2,
        ..Policy::default()
    });
    let dictionary = Dictionary::parse(&part(1)).ok();
    let (names, password) = (vec![part(2), part(3)], part(4));
    let about = About {
        dictionary: dictionary.as_ref(),
        account_id: &part(2),
        account_name: &part(3),
        account_attributes: &names,
        identity_attributes: &names,
    };
    policy.check(&Password::new(password.clone()), &about);
    for sentence in policy.check(&Password::new(format!("{MARK}{password}{MARK}")), &about) {
        assert!(!sentence.contains(MARK), "{sentence}");
    }
    policy.rules();
}
