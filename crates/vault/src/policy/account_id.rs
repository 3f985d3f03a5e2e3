//! `validateAgainstAccountId` and `accountIdMinWordLength`.

use super::{Policy, Rule, Subject, set};

pub(super) struct NotTheAccountId;

impl Rule for NotTheAccountId {
    fn line(&self, _: &Policy) -> Option<String> {
        None
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let shortest = set(policy.account_id_min_word_length);
        let found = policy.validate_against_account_id
            && subject.contains_word_of(subject.about.account_id, shortest);
        found.then(|| match shortest {
            None => "must not contain the account id".to_owned(),
            Some(shortest) => format!(
                "must not contain a word of the account id that has {shortest} or more characters"
            ),
        })
    }
}
