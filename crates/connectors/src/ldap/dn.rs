//! The part of distinguished names (RFC 4514) that shows whether one entry lies below another.

/// Splits `dn` into its relative names, leaf first, in lower case and without surrounding blanks.
///
/// Other spellings of the same name (hexadecimal escapes, other attribute names) count as different
/// names. `is_below` then refuses the account, which is safe. `is_same` alone cannot recognize
/// every spelling of rekey's own entry, so `own` reads that entry from the directory.
pub(super) fn parts(dn: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = dn.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                part.push(c);
                part.extend(characters.next());
            }
            ',' | ';' => parts.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
    }
    if !dn.trim().is_empty() {
        parts.push(part);
    }
    parts
        .iter()
        .map(|part| part.trim().to_lowercase().replace(" =", "=").replace("= ", "="))
        .collect()
}

/// Whether `dn` lies below `base`; `base` itself does not.
pub(super) fn is_below(dn: &str, base: &str) -> bool {
    let (dn, base) = (parts(dn), parts(base));
    dn.len() > base.len() && dn.ends_with(&base)
}

/// Whether both spellings name the same entry.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_a_longer_name_with_the_same_end() {
        let base = "ou=People, dc=Example";
        assert!(is_below("uid=a,ou=people,dc=example", base));
        assert!(is_below("cn=Doe\\, J,ou=people,dc=example", base));
        for dn in ["", "ou=people,dc=example", "cn=admin,dc=example", "cn=x\\,ou=people,dc=example"]
        {
            assert!(!is_below(dn, base), "{dn}");
        }
    }
}
