//! Keeps the password out of texts that a target wrote.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use rekey_vault::Password;
use zeroize::Zeroizing;

/// What people read instead of a text that held their password.
const REPLACEMENT: &str = "(the target's text is withheld: it contained the password)";

/// How much of a target's text is kept, in characters.
const LIMIT: usize = 300;

/// Makes a target's text safe to show and to keep: withheld as a whole if it contains the
/// password, raw or in any encoding a target is known to echo; one line; at most 300 characters.
///
/// One-character passwords are found everywhere, so a text is withheld rather too often than once
/// too seldom.
pub(crate) fn scrub(text: &str, password: &Password) -> String {
    if holds(text, password) { REPLACEMENT.to_owned() } else { plain(text) }
}

/// Makes a target's text one line of at most 300 characters, where no password was involved.
pub(crate) fn plain(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LIMIT).collect::<String>().trim().to_owned()
}

fn holds(text: &str, password: &Password) -> bool {
    let clear = password.expose();
    if clear.is_empty() {
        return false;
    }
    let folded = Zeroizing::new(text.to_ascii_lowercase());
    // A NUL-laden text is UTF-16 that someone read as bytes.
    let without_nul = Zeroizing::new(text.replace('\0', ""));
    text.contains(clear)
        || without_nul.contains(clear)
        || encodings(clear).iter().any(|form| text.contains(form.as_str()))
        || lower_case(clear).iter().any(|form| folded.contains(form.as_str()))
}

/// Encodings in which case matters.
fn encodings(clear: &str) -> Vec<Zeroizing<String>> {
    let json = serde_json::to_string(clear).unwrap_or_default();
    let json = Zeroizing::new(json);
    let mut forms = vec![
        Zeroizing::new(json.trim_matches('"').to_owned()),
        Zeroizing::new(clear.replace('\'', "''")),
        Zeroizing::new(clear.replace('"', "\"\"")),
        Zeroizing::new(clear.replace('\\', "\\\\")),
        Zeroizing::new(clear.replace('\\', "\\\\").replace('\'', "''")),
        Zeroizing::new(clear.replace('\\', "\\\\").replace('\'', "\\'")),
    ];
    forms.extend(base64_forms(clear.as_bytes()));
    forms.extend(base64_forms(&utf16le(clear)));
    forms.retain(|form| !form.is_empty());
    forms
}

/// The part of the base64 text that does not depend on what stands before and after the password,
/// at each of the three alignments, in both alphabets.
fn base64_forms(clear: &[u8]) -> Vec<Zeroizing<String>> {
    let mut forms = Vec::new();
    for lead in 0..3_usize {
        let mut bytes = Zeroizing::new(vec![0; lead]);
        bytes.extend_from_slice(clear);
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(bytes.as_slice()));
        let skip = (lead * 8).div_ceil(6);
        let whole = bytes.len() * 8 / 6;
        let Some(stable) = encoded.get(skip..whole).filter(|stable| stable.len() >= 2) else {
            continue;
        };
        forms.push(Zeroizing::new(stable.replace('+', "-").replace('/', "_")));
        forms.push(Zeroizing::new(stable.to_owned()));
    }
    forms
}

/// Encodings that may be written in either case, in lower case.
fn lower_case(clear: &str) -> Vec<Zeroizing<String>> {
    let percent = |keep: fn(u8) -> bool| {
        let mut text = Zeroizing::new(String::new());
        for byte in clear.bytes() {
            if keep(byte) {
                text.push(char::from(byte.to_ascii_lowercase()));
            } else {
                let _ = write!(text, "%{byte:02x}");
            }
        }
        text
    };
    let strict = percent(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    let form = Zeroizing::new(strict.replace("%20", "+"));
    let lax = percent(|b| b.is_ascii_alphanumeric() || b"-._~!*'()".contains(&b));
    let escaped = json_ascii(clear);
    vec![hex(clear.as_bytes()), hex(&utf16le(clear)), strict, form, lax, escaped]
}

/// JSON with everything outside ASCII escaped, as many serializers write it.
fn json_ascii(clear: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for c in clear.chars() {
        if c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\' {
            text.push(c.to_ascii_lowercase());
        } else if c == '"' || c == '\\' {
            text.push('\\');
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn utf16le(clear: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(clear.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const CLEAR: &str = "it's \"Ärger\" \\ 50%&<x>?";

    fn is_withheld(text: &str) -> bool {
        scrub(&format!("ERROR: near {text}; sorry"), &Password::new(CLEAR.to_owned()))
            == REPLACEMENT
    }

    #[test]
    fn a_text_with_the_password_is_withheld_in_every_encoding() {
        let utf16 = utf16le(CLEAR);
        let upper_hex = hex(CLEAR.as_bytes()).to_ascii_uppercase();
        for text in [
            CLEAR.to_owned(),
            STANDARD.encode(CLEAR),
            URL_SAFE_NO_PAD.encode(CLEAR),
            STANDARD.encode(format!("x{CLEAR}y")),
            STANDARD.encode(format!("xx{CLEAR}")),
            STANDARD.encode(utf16.as_slice()),
            hex(CLEAR.as_bytes()).to_string(),
            upper_hex,
            hex(&utf16).to_string(),
            "it%27s%20%22%C3%84rger%22%20%5C%2050%25%26%3Cx%3E%3F".to_owned(),
            "it%27s+%22%c3%84rger%22+%5c+50%25%26%3cx%3e%3f".to_owned(),
            "it's%20%22%C3%84rger%22%20%5C%2050%25%26%3Cx%3E%3F".to_owned(),
            serde_json::to_string(CLEAR).unwrap(),
            "it's \\\"\\u00c4rger\\\" \\\\ 50%&<x>?".to_owned(),
            CLEAR.replace('\'', "''"),
            CLEAR.replace('"', "\"\""),
            CLEAR.replace('\\', "\\\\").replace('\'', "''"),
            CLEAR.chars().flat_map(|c| [c, '\0']).collect(),
        ] {
            assert!(is_withheld(&text), "{text}");
        }
    }

    #[test]
    fn a_text_without_it_is_kept_on_one_short_line() {
        let password = Password::new(CLEAR.to_owned());
        assert_eq!(scrub("too\nshort ", &password), "too short");
        assert_eq!(scrub(&"x".repeat(5_000), &password).len(), LIMIT);
    }
}
