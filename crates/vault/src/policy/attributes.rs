//! `useAccountAttributes` and `useIdentityAttributes`.
//!
//! Values shorter than three characters are ignored, and so is white space around a value.

use super::{Policy, Rule, Subject};

pub(super) struct NoAccountAttribute;

impl Rule for NoAccountAttribute {
    fn line(&self, _: &Policy) -> Option<String> {
        None
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        (policy.use_account_attributes && subject.contains_one_of(subject.about.account_attributes))
            .then(|| "must not contain the value of an attribute of the account".to_owned())
    }
}

pub(super) struct NoIdentityAttribute;

impl Rule for NoIdentityAttribute {
    fn line(&self, _: &Policy) -> Option<String> {
        None
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        (policy.use_identity_attributes
            && subject.contains_one_of(subject.about.identity_attributes))
        .then(|| "must not contain the value of an attribute of the identity".to_owned())
    }
}
