//! Passwords that a parser on the way to the server may misread.

use std::collections::BTreeSet;

/// Texts to which some parser gives a meaning.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "''",
    "\"\"",
    "`",
    "$",
    "$$",
    "$1",
    "${HOME}",
    "$(id)",
    "`id`",
    "%",
    "%s",
    "%n",
    "%00",
    "%27",
    "\\",
    "\\\\",
    "\\'",
    "\\0",
    "\\n",
    "\\u0027",
    "\\x27",
    ";",
    "; --",
    "--",
    "/*",
    "*/",
    "#",
    "|",
    "||",
    "&",
    "&&",
    "<",
    ">",
    ">>",
    "</password>",
    "<![CDATA[",
    "]]>",
    "&amp;",
    "&#39;",
    "<!--",
    "{",
    "}",
    "{}",
    "{0}",
    "{{7*7}}",
    "{SSHA}",
    "{CLEARTEXT}",
    "{CRYPT}x",
    "[",
    "]",
    "(",
    ")",
    "(|(uid=*))",
    "*",
    "*)(uid=*",
    "!",
    "!!",
    "?",
    "=",
    "==",
    ",",
    "dc=x",
    "+",
    ":",
    "@",
    "~",
    "^",
    "_",
    "-",
    " ",
    "  ",
    "/",
    "../",
    "\u{a0}",
    "\u{2003}",
    "\u{200b}",
    "\u{feff}",
    "\u{ad}",
    "\u{e9}",
    "e\u{301}",
    "\u{df}",
    "\u{130}",
    "\u{131}",
    "\u{3c2}",
    "\u{fb01}",
    "\u{ff21}",
    "\u{212b}",
    "\u{1f511}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{5d0}",
    "\u{627}\u{644}",
    "\u{4f60}\u{597d}",
    "\u{c548}",
    "\u{202e}",
    "\u{10ffff}",
    "null",
    "true",
    "NaN",
    "0",
    "md5",
    "SCRAM-SHA-256$4096:",
    "' OR '1'='1",
    "\"; DROP ROLE x; --",
    "E'\\\\'",
    "\\copy",
    "AUTO",
    "password",
];

/// The longest password, in bytes: the capacity of OAEP with SHA-256 and a 2048-bit key.
const LONGEST: usize = 190;

/// Returns `count` different passwords, the same on every call: first each piece at both ends of
/// ordinary text, then the extremes of length, then mixtures.
pub fn passwords(count: usize) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    let mut add = |password: String| {
        if !password.is_empty() && password.len() <= LONGEST && seen.insert(password.clone()) {
            all.push(password);
        }
        all.len()
    };
    for one in ["x", " ", "'", "ab", "'\"\\$%`", "correct horse battery staple"] {
        add(one.to_owned());
    }
    add("y".repeat(LONGEST));
    add("\u{1f511}".repeat(LONGEST / 4));
    add("'".repeat(LONGEST));
    add(" ".repeat(12));
    for piece in PIECES {
        add(format!("{piece}Abcdef-1{piece}"));
    }
    let mut random = Random(0x7265_6b65_7931_u64);
    while all_len(&mut add) < count {
        let pieces = 2 + random.below(9);
        let mixture = (0..pieces).fold(String::new(), |mut mixture, _| {
            mixture.push_str(PIECES.get(random.below(PIECES.len())).unwrap_or(&"x"));
            for _ in 0..random.below(4) {
                mixture.push(char::from(b'!' + u8::try_from(random.below(94)).unwrap_or(0)));
            }
            mixture
        });
        add(mixture);
    }
    all.truncate(count);
    all
}

fn all_len(add: &mut impl FnMut(String) -> usize) -> usize {
    add(String::new())
}

/// Xorshift: sufficiently random, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nasty_passwords_are_many_different_and_fit() {
        let all = passwords(5_000);
        assert_eq!(all.len(), 5_000);
        assert_eq!(all, passwords(5_000));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 5_000);
        assert!(all.iter().any(|p| p.len() == 1) && all.iter().any(|p| p.len() == 190));
        assert!(all.iter().all(|p| p.len() <= 190 && !p.chars().any(char::is_control)));
    }
}
