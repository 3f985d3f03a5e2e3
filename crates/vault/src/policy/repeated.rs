//! `maxRepeatedChars`.

use super::{Policy, Rule, Subject, count, set};

pub(super) struct MaxRepeatedChars;

impl Rule for MaxRepeatedChars {
    fn line(&self, policy: &Policy) -> Option<String> {
        set(policy.max_repeated_chars).map(|most| format!("passwordRepeatedChar is {most}"))
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let most = set(policy.max_repeated_chars)?;
        (longest_run(subject.text) > most).then(|| {
            format!("must not have the same character more than {} in a row", count(most, "time"))
        })
    }
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run, mut last) = (0, 0, None);
    for character in text.chars() {
        run = if last == Some(character) { run + 1 } else { 1 };
        longest = longest.max(run);
        last = Some(character);
    }
    longest
}
