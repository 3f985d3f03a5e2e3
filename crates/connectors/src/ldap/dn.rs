//! Just enough of distinguished names (RFC 4514) to tell what lies below what.

/// The relative names of `dn`, leaf first, in lower case and without blanks around them.
///
/// Other spellings of the same name (hexadecimal escapes, other attribute names) count as
/// different. For `is_below` that refuses an account; `is_same` alone cannot recognise every
/// spelling of rekey's own entry, so `own` asks the directory for it.
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

/// Whether `dn` lies below `base`, and is not `base` itself.
pub(super) fn is_below(dn: &str, base: &str) -> bool {
    let (dn, base) = (parts(dn), parts(base));
    dn.len() > base.len() && dn.ends_with(&base)
}

/// Whether both name the same entry.
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
