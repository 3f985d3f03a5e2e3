//! Filters the texts that a system sends: rekey repeats none of them.
//!
//! A system that has seen a password can write it into any text it sends, whole or in part,
//! reversed, or in an encoding of its own. No search can find every such form, so no byte of a
//! system's text is kept. A text that real servers are known to send selects rekey's own copy of
//! that text. Names of accounts are data, and pass through [`plain`] only.

use std::fmt;

/// The placeholder in a known text for a part that the system chooses: a number or a quoted name.
/// At the end of a known text it stands for any remainder.
const ANY: char = '…';

/// The part of a system's text that rekey may repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Said {
    #[default]
    Nothing,
    /// A text from a table in rekey's code.
    Known(&'static str),
    /// A text that is in no table of rekey's.
    Unknown,
}

impl Said {
    /// Searches the `known` texts for the one that matches `text`.
    pub(crate) fn of(text: &str, known: &[&'static str]) -> Self {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if text.is_empty() {
            return Self::Nothing;
        }
        let folded = folded(text);
        let is_it = |known: &&&'static str| {
            **known == folded
                || known.strip_suffix(ANY).is_some_and(|begin| text.starts_with(begin))
        };
        known.iter().find(is_it).map_or(Self::Unknown, |known| Self::Known(known))
    }

    /// The text to show, after a separator; empty if the system sent no text.
    pub(crate) fn after(self, separator: &str) -> String {
        if self == Self::Nothing { String::new() } else { format!("{separator}{self}") }
    }

    /// Whether this is a known text that contains `words`.
    pub(crate) fn contains(self, words: &str) -> bool {
        matches!(self, Self::Known(known) if known.contains(words))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("without a text of its own"),
            Self::Known(known) => f.write_str(known),
            Self::Unknown => f.write_str("its own text is withheld: see the system's log"),
        }
    }
}

/// The greatest length of a name, in characters.
const LIMIT: usize = 300;

/// Reduces a name to one line of at most 300 characters, all of them visible.
pub(crate) fn plain(name: &str) -> String {
    let name: String = name.chars().take(LIMIT).collect();
    shown(&name).trim().to_owned()
}

/// Returns the text with a space in place of each character for which [`is_hidden`] holds.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

/// Whether a character is invisible, breaks a line, or changes the order in which others are
/// displayed.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Returns the text with [`ANY`] in place of each number and of each part between quotation marks.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    for (number, part) in text.split('"').enumerate() {
        if number > 0 {
            folded.push('"');
        }
        if number % 2 == 1 {
            folded.push(ANY);
            continue;
        }
        for c in part.chars() {
            if !c.is_ascii_digit() {
                folded.push(c);
            } else if !folded.ends_with(ANY) {
                folded.push(ANY);
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &[&str] = &[
        "Password fails quality checking policy",
        "password must be at least … characters long",
        "role \"…\" does not exist",
        "0000052D: …",
    ];

    #[test]
    fn a_name_is_one_line_that_shows_what_it_is() {
        assert_eq!(plain(" uid=\u{202E}a\n\u{200B}b\u{FEFF}"), "uid= a  b");
        assert_eq!(plain(&"ä".repeat(5_000)).chars().count(), LIMIT);
        let fault = crate::Fault::new(crate::FaultKind::Denied, "x\u{2066}y\rz");
        assert_eq!(fault.message, "x y z");
    }

    #[test]
    fn a_known_text_is_repeated_without_the_parts_the_system_chose() {
        for (sent, repeated) in [
            ("Password fails quality checking policy\0", KNOWN[0]),
            ("password must be at least 12 characters long", KNOWN[1]),
            ("role \"somebody's secret\" does not exist", KNOWN[2]),
            ("0000052D: SvcErr: DSID-031A12D2, problem 5003, data 0", KNOWN[3]),
        ] {
            assert_eq!(Said::of(sent, KNOWN), Said::Known(repeated), "{sent}");
        }
        assert_eq!(Said::of(" \0", KNOWN), Said::Nothing);
        for sent in ["Password fails quality checking policy: x", "role \"a", "x0000052D: "] {
            assert_eq!(Said::of(sent, KNOWN), Said::Unknown, "{sent}");
        }
    }

    /// Returns a form in which a system might repeat a password.
    fn disguised(password: &str, way: usize) -> String {
        let each = |write: fn(char) -> String| password.chars().map(write).collect::<String>();
        match way {
            0 => password.to_owned(),
            1 => password.chars().take(password.chars().count() / 2 + 2).collect(),
            2 => password.chars().rev().collect(),
            3 => each(|c| format!("{c} ")),
            4 => each(|c| format!("%{:02X}", u32::from(c))),
            5 => each(|c| format!("&#{};", u32::from(c))),
            6 => each(|c| match c {
                'a'..='m' | 'A'..='M' => char::from(c as u8 + 13).to_string(),
                'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13).to_string(),
                other => other.to_string(),
            }),
            7 => each(|c| format!("{c}\u{1}")),
            _ => each(|c| c.to_uppercase().collect()),
        }
    }

    proptest! {
        /// The result is one of rekey's own few texts, in whatever form the system repeats a
        /// password.
        #[test]
        fn no_part_of_a_password_is_repeated(
            password in "[!-~]{6,30}",
            way in 0_usize..9,
            frame in 0_usize..7,
        ) {
            let echo = disguised(&password, way);
            let sent = match frame {
                0 => echo,
                1 => format!("Password fails quality checking policy: {echo}"),
                2 => format!("{echo} Password fails quality checking policy"),
                3 => format!("role \"{echo}\" does not exist"),
                4 => format!("0000052D: {echo}"),
                5 => format!("password must be at least {echo} characters long"),
                _ => format!("0000052D: {echo}\" \"{echo}"),
            };
            let said = Said::of(&sent, KNOWN);
            let own = KNOWN.iter().map(|known| Said::Known(known));
            let own: Vec<Said> = own.chain([Said::Nothing, Said::Unknown]).collect();
            prop_assert!(own.contains(&said), "{}", said);
        }
    }
}
