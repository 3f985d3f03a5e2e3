//! The rules for passwords, as in the contract's `PasswordPolicyV3Dto`; one module per rule.

mod account_id;
mod account_name;
mod attributes;
mod character_types;
mod classes;
mod dictionary;
mod length;
mod repeated;
mod subject;
mod validate;

pub use self::dictionary::Dictionary;

use serde::{Deserialize, Serialize};

use self::subject::Subject;
use crate::Password;

/// Every rule, in the order in which violations are reported.
const RULES: &[&dyn Rule] = &[
    &length::MinLength,
    &length::MaxLength,
    &classes::MinAlpha,
    &classes::MinUpper,
    &classes::MinLower,
    &classes::MinNumeric,
    &classes::MinSpecial,
    &character_types::MinCharacterTypes,
    &repeated::MaxRepeatedChars,
    &account_id::NotTheAccountId,
    &account_name::NotTheAccountName,
    &attributes::NoAccountAttribute,
    &attributes::NoIdentityAttribute,
    &dictionary::NoDictionaryWord,
];

/// One requirement. A policy may leave it unset; it then reports nothing.
trait Rule: Sync {
    /// The rule's line in `policies[]` of query-password-info, if it is set and has such a line.
    fn line(&self, policy: &Policy) -> Option<String>;

    /// The violation by the password, if the rule is set: a sentence in lower case, without a full
    /// stop.
    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String>;
}

/// The members of `PasswordPolicyV3Dto` that decide about a password, by their names on the wire.
/// Lengths and counts are numbers of Unicode code points. A value of 0 or less means that a rule is
/// not set, except for the two `…MinWordLength`, where it means the whole value.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the contract's members")]
pub struct Policy {
    /// With `validate_against_account_id`: the shortest word of the account id that is forbidden; 0
    /// or less forbids only the whole id.
    pub account_id_min_word_length: i32,
    /// With `validate_against_account_name`: the shortest word of the account name that is
    /// forbidden; 0 or less forbids only the whole name.
    pub account_name_min_word_length: i32,
    /// The greatest length of a password.
    pub max_length: i32,
    /// The greatest number of equal characters in a row.
    pub max_repeated_chars: i32,
    /// The least number of letters.
    pub min_alpha: i32,
    /// The least number of different types among upper-case letter, lower-case letter, digit and
    /// special character. More than four counts as four.
    pub min_character_types: i32,
    /// The least length of a password.
    pub min_length: i32,
    /// The least number of lower-case letters.
    pub min_lower: i32,
    /// The least number of digits.
    pub min_numeric: i32,
    /// The least number of characters that are neither letters nor digits.
    pub min_special: i32,
    /// The least number of upper-case letters.
    pub min_upper: i32,
    /// Forbids the values of the account's attributes.
    pub use_account_attributes: bool,
    /// Forbids the words of the dictionary.
    pub use_dictionary: bool,
    /// Forbids the values of the identity's attributes.
    pub use_identity_attributes: bool,
    /// Forbids the account id, or words of it.
    pub validate_against_account_id: bool,
    /// Forbids the account name, or words of it.
    pub validate_against_account_name: bool,
}

/// The facts about the account whose password is judged.
#[derive(Clone, Copy, Default)]
pub struct About<'a> {
    /// The dictionary, if one was uploaded.
    pub dictionary: Option<&'a Dictionary>,
    /// The account's native identity.
    pub account_id: &'a str,
    /// The account's display name.
    pub account_name: &'a str,
    /// The values of the account's attributes. Those shorter than three characters are ignored.
    pub account_attributes: &'a [String],
    /// The values of the identity's attributes. Those shorter than three characters are ignored.
    pub identity_attributes: &'a [String],
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            account_id_min_word_length: -1,
            account_name_min_word_length: -1,
            max_length: 0,
            max_repeated_chars: -1,
            min_alpha: 0,
            min_character_types: -1,
            min_length: 0,
            min_lower: 0,
            min_numeric: 0,
            min_special: 0,
            min_upper: 0,
            use_account_attributes: false,
            use_dictionary: false,
            use_identity_attributes: false,
            validate_against_account_id: false,
            validate_against_account_name: false,
        }
    }
}

impl Policy {
    /// The lines of `policies[]` in query-password-info, such as `passwordMinLength is 5`. Rules
    /// that are not set and rules without a number have no line.
    pub fn rules(&self) -> Vec<String> {
        RULES.iter().filter_map(|rule| rule.line(self)).collect()
    }

    /// Checks `password` against every rule and returns one sentence for each violation, in lower
    /// case and without a full stop. No sentence contains any part of the password.
    pub fn check(&self, password: &Password, about: &About<'_>) -> Vec<String> {
        let subject = Subject::new(password.expose(), about);
        RULES.iter().filter_map(|rule| rule.violation(self, &subject)).collect()
    }
}

/// The number of a rule, if the rule is set.
fn set(number: i32) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number > 0)
}

/// Formats a number with its unit, such as `1 digit` or `2 digits`.
fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
