//! `minAlpha`, `minUpper`, `minLower`, `minNumeric` and `minSpecial`.
//!
//! The classes are those of Unicode: letters are alphabetic, digits are numeric, and special
//! characters are neither. A letter without case, as in Chinese, counts as a letter only.

use super::{Policy, Rule, Subject, count, set};

pub(super) fn is_special(character: char) -> bool {
    !character.is_alphanumeric()
}

fn violation(
    least: i32,
    subject: &Subject<'_>,
    class: fn(char) -> bool,
    name: &str,
) -> Option<String> {
    let least = set(least)?;
    let found = subject.text.chars().filter(|character| class(*character)).count();
    (found < least).then(|| format!("must have at least {}", count(least, name)))
}

fn line(name: &str, least: i32) -> Option<String> {
    set(least).map(|least| format!("{name} is {least}"))
}

pub(super) struct MinAlpha;

impl Rule for MinAlpha {
    fn line(&self, policy: &Policy) -> Option<String> {
        line("passwordMinAlpha", policy.min_alpha)
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        violation(policy.min_alpha, subject, char::is_alphabetic, "letter")
    }
}

pub(super) struct MinUpper;

impl Rule for MinUpper {
    fn line(&self, policy: &Policy) -> Option<String> {
        line("passwordMinUpper", policy.min_upper)
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        violation(policy.min_upper, subject, char::is_uppercase, "upper-case letter")
    }
}

pub(super) struct MinLower;

impl Rule for MinLower {
    fn line(&self, policy: &Policy) -> Option<String> {
        line("passwordMinLower", policy.min_lower)
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        violation(policy.min_lower, subject, char::is_lowercase, "lower-case letter")
    }
}

pub(super) struct MinNumeric;

impl Rule for MinNumeric {
    fn line(&self, policy: &Policy) -> Option<String> {
        line("passwordMinNumeric", policy.min_numeric)
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        violation(policy.min_numeric, subject, char::is_numeric, "digit")
    }
}

pub(super) struct MinSpecial;

impl Rule for MinSpecial {
    fn line(&self, policy: &Policy) -> Option<String> {
        line("passwordMinSpecial", policy.min_special)
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        violation(policy.min_special, subject, is_special, "special character")
    }
}
