//! Accounts whose passwords rekey never changes, whatever the request.

use serde::Deserialize;

use crate::{Fault, FaultKind};

/// The greatest number of patterns of a source.
const PATTERNS: usize = 100;
/// The greatest length of a pattern, in characters.
const LONGEST: usize = 256;

/// The connector attribute `protectedAccounts`: patterns over whole native identities, without
/// regard to case, in which `*` stands for any text and `?` for one character.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Protected(Vec<Vec<char>>);

impl TryFrom<Vec<String>> for Protected {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.len() > PATTERNS {
            return Err(format!("give at most {PATTERNS} patterns"));
        }
        let folded = |pattern: String| match folded(&pattern) {
            pattern if pattern.is_empty() || pattern.len() > LONGEST => {
                Err(format!("a pattern has 1 to {LONGEST} characters"))
            }
            pattern => Ok(pattern),
        };
        patterns.into_iter().map(folded).collect::<Result<_, _>>().map(Self)
    }
}

impl Protected {
    /// Refuses an account whose name matches one of the patterns.
    pub(crate) fn check(&self, native_identity: &str) -> Result<(), Fault> {
        let name = folded(native_identity);
        if self.0.iter().any(|pattern| matches(pattern, &name)) {
            return Err(Fault::new(
                FaultKind::NotPermitted,
                "the source's protectedAccounts do not let rekey change this account",
            ));
        }
        Ok(())
    }
}

fn folded(text: &str) -> Vec<char> {
    text.to_lowercase().chars().collect()
}

/// Matches without recursion. Backtracking to the last `*` is enough: if an earlier `*` took less,
/// at least as much text would remain for the rest of the pattern.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut last_star = None;
    while let Some(c) = name.get(read) {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                last_star = Some((at, read));
            }
            Some(p) if *p == '?' || p == c => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, taken)) = last_star else { return false };
                last_star = Some((after, taken + 1));
                (at, read) = (after, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|p| *p == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn protected(patterns: &[&str]) -> Protected {
        patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn a_pattern_covers_the_whole_name() {
        let patterns = protected(&["cn=Admin*,dc=example", "uid=root?,*", "*,ou=Services,*"]);
        for name in [
            "cn=admin,dc=example",
            "CN=ADMINistrator,DC=Example",
            "uid=root1,ou=people",
            "uid=x,ou=services,dc=example",
            "uid=a,ou=services,ou=services,dc=example",
        ] {
            let fault = patterns.check(name).unwrap_err();
            assert_eq!(fault.kind, FaultKind::NotPermitted, "{name}");
        }
        for name in ["", "xcn=admin,dc=example", "cn=admin,dc=example,dc=com", "uid=root,ou=people"]
        {
            patterns.check(name).unwrap();
        }
        Protected::default().check("anything").unwrap();
        assert!(protected(&["*"]).check("").is_err());
    }

    #[test]
    fn patterns_are_bounded() {
        for patterns in [vec![String::new()], vec!["x".repeat(257)], vec!["x".to_owned(); 101]] {
            assert!(Protected::try_from(patterns).is_err());
        }
    }

    /// The straightforward matcher, which takes exponential time.
    fn slowly(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                slowly(rest, name) || name.split_first().is_some_and(|(_, n)| slowly(pattern, n))
            }
            ([p, rest @ ..], [c, n @ ..]) => (*p == '?' || p == c) && slowly(rest, n),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_obvious_matcher_does(
            pattern in "[ab*?]{0,8}",
            name in "[ab]{0,10}",
        ) {
            let (pattern, name) = (folded(&pattern), folded(&name));
            prop_assert_eq!(matches(&pattern, &name), slowly(&pattern, &name));
        }
    }
}
