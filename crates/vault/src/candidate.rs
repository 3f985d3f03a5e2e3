//! A decrypted message of which nobody knows yet whether it is one.

use subtle::Choice;
use zeroize::Zeroizing;

use crate::{About, Password, Policy};

/// What came out of a decryption: the client's message, or a synthetic one because the padding
/// was wrong. There is no way to look inside but [`Candidate::judge`]. Wiped on drop.
pub struct Candidate {
    block: Zeroizing<Vec<u8>>,
    length: usize,
    genuine: Choice,
}

/// What became of a candidate.
pub enum Judgement {
    /// It is genuine and conforms.
    Accepted(Password),
    /// It is no text without control characters, or it would conform but is synthetic. Which of
    /// these must stay unknown, to people and programs alike.
    PayloadInvalid,
    /// What the policy has against it, a sentence each. Says nothing about whether it is genuine.
    Violations(Vec<String>),
}

impl Candidate {
    /// The message is the last `length` bytes of `block`.
    pub(crate) fn new(block: Zeroizing<Vec<u8>>, length: usize, genuine: Choice) -> Self {
        Self { block, length, genuine }
    }

    /// Holds the candidate against `policy`. Genuine and synthetic candidates go the same way:
    /// first text or not, then every rule, and only when nothing is left to object is it asked
    /// whether the message is genuine.
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

    /// The message as a password, unless it is empty, not UTF-8, or holds a control character
    /// (Unicode category Cc; a line feed among them, as a forgotten `echo -n` leaves).
    fn text(&self) -> Option<Password> {
        let start = self.block.len().checked_sub(self.length)?;
        let text = str::from_utf8(self.block.get(start..)?).ok()?;
        let sound = !text.is_empty() && !text.chars().any(char::is_control);
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
