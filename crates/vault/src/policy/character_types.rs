//! `minCharacterTypes`.

use super::{Policy, Rule, Subject, classes, set};

/// Upper-case letters, lower-case letters, digits and special characters.
const TYPES: [fn(char) -> bool; 4] =
    [char::is_uppercase, char::is_lowercase, char::is_numeric, classes::is_special];

pub(super) struct MinCharacterTypes;

impl Rule for MinCharacterTypes {
    fn line(&self, policy: &Policy) -> Option<String> {
        least(policy).map(|least| format!("passwordMinCharacterTypes is {least}"))
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let least = least(policy)?;
        let found = TYPES.iter().filter(|class| subject.text.chars().any(class)).count();
        (found < least).then(|| {
            format!(
                "must have characters of at least {least} of the types upper-case letter, \
                 lower-case letter, digit and special character"
            )
        })
    }
}

/// The required number of types, at most four: an example in the contract requires five.
fn least(policy: &Policy) -> Option<usize> {
    set(policy.min_character_types).map(|least| least.min(TYPES.len()))
}
