//! `useDictionary`, and the file of the dictionary.

use super::subject::fold;
use super::{Policy, Rule, Subject};

/// The limits of the file, from ISC's documentation of the password dictionary.
const MOST_WORDS: usize = 2_500;
const LONGEST_LINE: usize = 128;

/// The words that no password may contain, at most 2,500.
pub struct Dictionary {
    words: Vec<String>,
    /// The words in lower case, sorted, without those that begin with another word: a text that
    /// contains the longer word contains the shorter one as well.
    sought: Vec<String>,
}

impl Dictionary {
    /// Parses a dictionary file. Both kinds of line end and a byte order mark are accepted. Blank
    /// lines, lines that begin with `#`, and the first line that begins with `locale=` or `locale:`
    /// are not words.
    ///
    /// # Errors
    ///
    /// A sentence that names the line: a word with white space or a control character, a line of
    /// more than 128 characters, or more than 2,500 words. A file without words is an error as
    /// well.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut words = Vec::new();
        let mut locale = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            if line.chars().count() > LONGEST_LINE {
                return Err(format!("line {number} has more than {LONGEST_LINE} characters"));
            }
            if line.starts_with('#') {
                continue;
            }
            if !locale && (line.starts_with("locale=") || line.starts_with("locale:")) {
                locale = true;
                continue;
            }
            if line.contains(char::is_whitespace) {
                return Err(format!("line {number} has white space: write one word on a line"));
            }
            if line.contains(char::is_control) {
                return Err(format!("line {number} has a control character"));
            }
            if words.len() == MOST_WORDS {
                return Err(format!(
                    "line {number} is one word more than the {MOST_WORDS} allowed"
                ));
            }
            words.push(line.to_owned());
        }
        if words.is_empty() {
            return Err("the dictionary has no word: write one on a line".to_owned());
        }
        Ok(Self { sought: sought(&words), words })
    }

    /// The words as written, in the order of the file.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether `text` contains a word, ignoring case.
    pub fn contains_word_in(&self, text: &str) -> bool {
        self.contains_word_in_folded(&fold(text))
    }

    fn contains_word_in_folded(&self, folded: &str) -> bool {
        folded.char_indices().any(|(index, _)| {
            let rest = folded.get(index..).unwrap_or_default();
            // No word begins with another, so the only word with which `rest` can begin is the last
            // one that sorts no later than `rest`.
            let later = self.sought.partition_point(|word| word.as_str() <= rest);
            later
                .checked_sub(1)
                .and_then(|last| self.sought.get(last))
                .is_some_and(|word| rest.starts_with(word.as_str()))
        })
    }
}

fn sought(words: &[String]) -> Vec<String> {
    let mut sought: Vec<String> = words.iter().map(|word| fold(word).to_string()).collect();
    sought.sort_unstable();
    sought.dedup_by(|word, shorter| word.starts_with(shorter.as_str()));
    sought
}

pub(super) struct NoDictionaryWord;

impl Rule for NoDictionaryWord {
    fn line(&self, _: &Policy) -> Option<String> {
        None
    }

    fn violation(&self, policy: &Policy, subject: &Subject<'_>) -> Option<String> {
        let dictionary = subject.about.dictionary.filter(|_| policy.use_dictionary)?;
        dictionary
            .contains_word_in_folded(subject.folded())
            .then(|| "must not contain a word of the password dictionary".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        Dictionary::parse(text).unwrap().words().map(str::to_owned).collect()
    }

    #[test]
    fn comments_blank_lines_and_the_first_locale_line_are_not_words() {
        let text = "\u{feff}# comment with blanks\r\n\r\n  \nlocale=en_US\r\nSummer\r\n#x\nwinter";
        assert_eq!(words(text), ["Summer", "winter"]);
        assert_eq!(words("locale:de\nlocale=fr\nlocale:it"), ["locale=fr", "locale:it"]);
        assert_eq!(words("word#1"), ["word#1"]);
    }

    #[test]
    fn a_fault_names_its_line() {
        let long = "x".repeat(129);
        let many = "word\n".repeat(2_501);
        for (text, told) in [
            ("good\ntwo words", "line 2 has white space"),
            (" begins\n", "line 1 has white space"),
            ("ends \n", "line 1 has white space"),
            (&format!("# fine\n{long}"), "line 2 has more than 128"),
            (&format!("#{long}"), "line 1 has more than 128"),
            (&many, "line 2501 is one word more"),
            ("a\0b", "line 1 has a control character"),
            ("", "no word"),
            ("# only\nlocale=en\n\n", "no word"),
        ] {
            let fault = Dictionary::parse(text).err().unwrap();
            assert!(fault.contains(told), "{fault}");
        }
        assert_eq!(words(&format!("#\n\n{}", "word\n".repeat(2_500))).len(), 2_500);
        assert_eq!(words(&"ä".repeat(128)).len(), 1);
    }

    #[test]
    fn words_match_anywhere_without_regard_to_case() {
        let dictionary = Dictionary::parse("Sun\nsunday\nÄrger\nzz").unwrap();
        for text in ["SUNDAY", "mysun", "keinärger", "KEINÄRGER!", "abczz", "sun"] {
            assert!(dictionary.contains_word_in(text), "{text}");
        }
        for text in ["", "su n", "z", "arger", "moon"] {
            assert!(!dictionary.contains_word_in(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_search_finds_what_trying_each_word_finds(
            words in prop::collection::vec("[abAä]{1,4}", 1..30), text in "[abcAä]{0,12}",
        ) {
            let dictionary = Dictionary::parse(&words.join("\n")).unwrap();
            let folded = fold(&text);
            let plain = words.iter().any(|word| folded.contains(fold(word).as_str()));
            prop_assert_eq!(dictionary.contains_word_in(&text), plain);
        }

        #[test]
        fn no_file_makes_the_parser_panic(text in "(.|\n|#|\r){0,200}") {
            drop(Dictionary::parse(&text));
        }
    }
}
