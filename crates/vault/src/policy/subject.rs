//! The password in the form in which the rules read it.

use zeroize::Zeroizing;

use super::About;

/// The shortest value, in characters, that is forbidden in a password. Shorter ones, such as the
/// initial of a middle name or `1`, would forbid too many passwords.
const SHORTEST_VALUE: usize = 3;

/// A password under judgement, and the facts about its account.
pub(super) struct Subject<'a> {
    pub(super) text: &'a str,
    pub(super) about: &'a About<'a>,
    folded: Zeroizing<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(text: &'a str, about: &'a About<'a>) -> Self {
        Self { text, about, folded: fold(text) }
    }

    /// The password in lower case.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether the password contains `value`, ignoring case. No password contains an empty value.
    pub(super) fn contains(&self, value: &str) -> bool {
        !value.is_empty() && self.folded.contains(fold(value).as_str())
    }

    /// Whether the password contains one of the `values` that are long enough to count.
    pub(super) fn contains_one_of(&self, values: &[String]) -> bool {
        values
            .iter()
            .map(|value| value.trim())
            .any(|value| value.chars().count() >= SHORTEST_VALUE && self.contains(value))
    }

    /// Whether the password contains a word of `value` of at least `shortest` characters, where a
    /// word is a sequence of letters and digits; without `shortest`, the whole value.
    pub(super) fn contains_word_of(&self, value: &str, shortest: Option<usize>) -> bool {
        let Some(shortest) = shortest else { return self.contains(value.trim()) };
        value
            .split(|letter: char| !letter.is_alphanumeric())
            .any(|word| word.chars().count() >= shortest && self.contains(word))
    }
}

/// Converts `text` to lower case, character by character, in a buffer that is never reallocated and
/// is wiped on drop.
pub(super) fn fold(text: &str) -> Zeroizing<String> {
    // In lower case, one character becomes at most three, of at most four bytes each.
    let mut folded = Zeroizing::new(String::with_capacity(text.chars().count() * 12));
    folded.extend(text.chars().flat_map(char::to_lowercase));
    folded
}
