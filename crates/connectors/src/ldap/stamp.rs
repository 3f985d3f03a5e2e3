//! The change stamp of an account.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use super::entry::Entry;
use crate::Stamp;

/// The attributes that show whether an account's password may be changed, and whether it was.
pub(super) const ATTRIBUTES: [&str; 5] =
    ["userPassword", "pwdChangedTime", "entryCSN", "modifyTimestamp", "pwdAccountLockedTime"];

/// Storage schemes with a salt. Their values differ after every change, even to the same password,
/// and a hash of such a value does not help to guess the password. A hash of an unsalted one would.
const SALTED: [&str; 8] =
    ["{ARGON2", "{CRYPT}$", "{PBKDF2", "{SMD5}", "{SSHA}", "{SSHA256}", "{SSHA384}", "{SSHA512}"];

/// The stamp of an account; empty if the directory returns none of the attributes.
pub(super) fn of(entry: &Entry) -> Stamp {
    if let Some(stored) = entry.first("userPassword").filter(|stored| is_salted(stored)) {
        let hash = digest::digest(&digest::SHA256, stored.as_bytes());
        let mut text = String::from("sha256:");
        for byte in hash.as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        return Stamp(text);
    }
    let changed = entry.first("pwdChangedTime");
    let moved = entry.first("entryCSN").or_else(|| entry.first("modifyTimestamp"));
    if changed.is_none() && moved.is_none() {
        return Stamp::default();
    }
    Stamp(format!("{}|{}", changed.unwrap_or_default(), moved.unwrap_or_default()))
}

fn is_salted(stored: &str) -> bool {
    SALTED.iter().any(|scheme| {
        stored.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_salted_hashes_make_a_stamp() {
        for stored in ["{SSHA}abc", "{ssha512}abc", "{CRYPT}$6$a$b", "{PBKDF2-SHA512}1$a$b"] {
            assert!(is_salted(stored), "{stored}");
        }
        for stored in ["clear", "{SHA}abc", "{MD5}abc", "{CLEARTEXT}x", "{CRYPT}ab", "{SASL}x", ""]
        {
            assert!(!is_salted(stored), "{stored}");
        }
        let entry =
            Entry::with(&[("entryCSN", "2"), ("pwdChangedTime", "1"), ("userPassword", "x")]);
        assert_eq!(of(&entry).0, "1|2");
        assert!(!of(&Entry::with(&[])).is_known());
    }
}
