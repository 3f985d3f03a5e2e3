//! `minLength` and `maxLength`.

use super::{Policy, Rule, Subject, count, set};

pub(super) struct MinLength;

impl Rule for MinLength {
    fn line(&self, policy: &Policy) -> Option<String> {
        set(policy.min_length).map(|least| format!("passwordMinLength is {least}"))
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let least = set(policy.min_length)?;
        (subject.text.chars().count() < least)
            .then(|| format!("must have at least {}", count(least, "character")))
    }
}

pub(super) struct MaxLength;

impl Rule for MaxLength {
    fn line(&self, policy: &Policy) -> Option<String> {
        set(policy.max_length).map(|most| format!("passwordMaxLength is {most}"))
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let most = set(policy.max_length)?;
        (subject.text.chars().count() > most)
            .then(|| format!("must have at most {}", count(most, "character")))
    }
}
