//! `validateAgainstAccountName` and `accountNameMinWordLength`.

use super::{Policy, Rule, Subject, set};

pub(super) struct NotTheAccountName;

impl Rule for NotTheAccountName {
    fn line(&self, _: &Policy) -> Option<String> {
        None
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let shortest = set(policy.account_name_min_word_length);
        let found = policy.validate_against_account_name
            && subject.contains_word_of(subject.about.account_name, shortest);
        found.then(|| match shortest {
            None => "must not contain the account name".to_owned(),
            Some(shortest) => format!(
                "must not contain a word of the account name that has {shortest} or more characters"
            ),
        })
    }
}
