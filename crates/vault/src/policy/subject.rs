//! The password as the rules see it.

use zeroize::Zeroizing;

use super::About;

/// A shorter value would forbid half of all passwords: the initial of a middle name, a `1`.
const SHORTEST_VALUE: usize = 3;

/// A password under judgement, and what is known about its account.
pub(super) struct Subject<'a> {
    pub(super) text: &'a str,
    pub(super) about: &'a About<'a>,
    folded: Zeroizing<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(text: &'a str, about: &'a About<'a>) -> Self {
        Self { text, about, folded: fold(text) }
    }

    /// The password without regard to case.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether it contains `value`, without regard to case. Nothing contains an empty value.
    pub(super) fn contains(&self, value: &str) -> bool {
        !value.is_empty() && self.folded.contains(fold(value).as_str())
    }

    /// Whether it contains one of `values` that is long enough.
    pub(super) fn contains_one_of(&self, values: &[String]) -> bool {
        values
            .iter()
            .map(|value| value.trim())
            .any(|value| value.chars().count() >= SHORTEST_VALUE && self.contains(value))
    }

    /// Whether it contains a word of `value` of at least `shortest` characters, where a word is
    /// a run of letters and digits; without `shortest`, the whole value.
    pub(super) fn contains_word_of(&self, value: &str, shortest: Option<usize>) -> bool {
        let Some(shortest) = shortest else { return self.contains(value.trim()) };
        value
            .split(|letter: char| !letter.is_alphanumeric())
            .any(|word| word.chars().count() >= shortest && self.contains(word))
    }
}

/// `text` in lower case, character by character, in a buffer that never moves and is wiped.
pub(super) fn fold(text: &str) -> Zeroizing<String> {
    // One character becomes at most three in lower case, of at most four bytes each.
    let mut folded = Zeroizing::new(String::with_capacity(text.chars().count() * 12));
    folded.extend(text.chars().flat_map(char::to_lowercase));
    folded
}
