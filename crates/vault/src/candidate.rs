//! A decrypted message that may be genuine or synthetic.

use subtle::Choice;
use zeroize::Zeroizing;

use crate::{About, Password, Policy};

/// The result of a decryption: the client's message, or a synthetic one because the padding was
/// wrong. Only [`Candidate::judge`] reads its content. Wiped on drop.
pub struct Candidate {
    block: Zeroizing<Vec<u8>>,
    length: usize,
    genuine: Choice,
}

/// The result of judging a candidate.
pub enum Judgement {
    /// The message is genuine and conforms to the policy.
    Accepted(Password),
    /// The message is not a text without control characters, or it conforms but is synthetic.
    /// People and programs must not be able to distinguish these cases.
    PayloadInvalid,
    /// The rules of the policy that the message breaks, one sentence each. They do not show whether
    /// the message is genuine.
    Violations(Vec<String>),
}

impl Candidate {
    /// The message is the last `length` bytes of `block`.
    pub(crate) fn new(block: Zeroizing<Vec<u8>>, length: usize, genuine: Choice) -> Self {
        Self { block, length, genuine }
    }

    /// Checks the candidate against `policy`. Genuine and synthetic candidates take the same steps:
    /// first the check for text, then every rule, and only without any objection the check whether
    /// the message is genuine.
    pub fn judge(self, policy: &Policy, about: &About<'_>) -> Judgement {
        let Some(password) = self.text() else { return Judgement::PayloadInvalid };
        let violations = policy.check(&password, about);
        if !violations.is_empty() {
            return Judgement::Violations(violations);
        }
        if bool::from(self.genuine) {
            Judgement::Accepted(password)
        } else {
            Judgement::PayloadInvalid
        }
    }

    /// Returns the message as a password, unless it is empty, not UTF-8, or contains a control
    /// character (Unicode category Cc, such as the line feed left by `echo` without `-n`). For an
    /// empty message, the last byte of the block is checked instead, so that it takes no less time.
    fn text(&self) -> Option<Password> {
        let start = self.block.len().checked_sub(self.length.max(1))?;
        let text = str::from_utf8(self.block.get(start..)?).ok()?;
        let sound = self.length > 0 && !text.chars().any(char::is_control);
        sound.then(|| Password::new(text.to_owned()))
    }
}

#[cfg(test)]
impl Candidate {
    pub(crate) fn message(&self) -> &[u8] {
        &self.block[self.block.len() - self.length..]
    }

    pub(crate) fn is_genuine(&self) -> bool {
        self.genuine.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Padding, PrivateKey, PublicKey};

    fn judged(message: &[u8], genuine: u8, policy: &Policy) -> Judgement {
        let block = Zeroizing::new([b"what stands before", message].concat());
        Candidate::new(block, message.len(), Choice::from(genuine)).judge(policy, &About::default())
    }

    fn twelve() -> Policy {
        Policy { min_length: 12, ..Policy::default() }
    }

    #[test]
    fn a_genuine_conforming_candidate_becomes_the_password() {
        let Judgement::Accepted(password) = judged("grün und blau".as_bytes(), 1, &twelve())
        else {
            panic!("it conforms");
        };
        assert_eq!(password.expose(), "grün und blau");
    }

    #[test]
    fn a_synthetic_candidate_is_never_accepted_even_if_it_conforms() {
        let message = b"correct horse battery staple";
        assert!(matches!(judged(message, 1, &twelve()), Judgement::Accepted(_)));
        assert!(matches!(judged(message, 0, &twelve()), Judgement::PayloadInvalid));
    }

    #[test]
    fn a_violation_says_nothing_about_being_genuine() {
        for genuine in [0, 1] {
            let Judgement::Violations(violations) = judged(b"short", genuine, &twelve()) else {
                panic!("five characters are too few");
            };
            assert_eq!(violations, ["must have at least 12 characters"]);
        }
    }

    #[test]
    fn what_is_no_text_is_invalid_whether_genuine_or_not() {
        for message in
            [b"".as_slice(), b"\xff\xfe\xfd of twelve", b"of twelve, with\n", b"of twelve, \x7f"]
        {
            for genuine in [0, 1] {
                let judgement = judged(message, genuine, &Policy::default());
                assert!(matches!(judgement, Judgement::PayloadInvalid), "{message:?}");
            }
        }
    }

    #[test]
    fn a_tampered_ciphertext_is_judged_without_an_error() {
        for padding in [Padding::OaepSha256, Padding::Pkcs1v15] {
            let key = PrivateKey::generate(padding).unwrap();
            let public = PublicKey::from_spki(&key.public_spki().unwrap()).unwrap();
            let mut ciphertext = public.encrypt(padding, b"correct horse").unwrap();
            let judgement = key.decrypt(&ciphertext).unwrap().judge(&twelve(), &About::default());
            assert!(matches!(judgement, Judgement::Accepted(_)));
            ciphertext[255] ^= 1;
            let judgement = key.decrypt(&ciphertext).unwrap().judge(&twelve(), &About::default());
            assert!(!matches!(judgement, Judgement::Accepted(_)));
        }
    }
}
