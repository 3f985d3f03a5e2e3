//! Which accounts a source listed, in memory that their names do not decide on.

use std::collections::HashSet;

use rekey_connectors::Listed;

use crate::model::account::Account;

/// Characters of a name that are shown in what a task says.
const SHOWN: usize = 100;

/// A name that a source gave, for a sentence: short, and in characters that show.
pub(crate) fn quoted(name: &str) -> String {
    let mut shown = name.chars();
    let short: String = shown.by_ref().take(SHOWN).collect();
    let more = if shown.next().is_some() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// The accounts a source listed: a digest each, 16 bytes, however long their names.
#[derive(Clone, Default)]
pub struct Seen {
    read: HashSet<[u8; 16]>,
    /// The names and ids of those that cannot be kept.
    left_out: HashSet<[u8; 16]>,
}

impl Seen {
    /// Remembers an account; whether it is the first time.
    pub fn add(&mut self, native_identity: &str) -> bool {
        self.read.insert(digest(native_identity))
    }

    /// Remembers an account that cannot be kept: as rekey knows it, it stays. Whether it is the
    /// first time.
    pub fn leave_out(&mut self, listed: &Listed) -> bool {
        self.left_out.extend(listed.stable_id.iter().map(|id| digest(id)));
        self.left_out.insert(digest(&listed.native_identity))
    }

    /// Whether an account was read.
    pub fn holds(&self, native_identity: &str) -> bool {
        self.read.contains(&digest(native_identity))
    }

    /// Whether the source has an account, though it may have been left out.
    pub(super) fn shows(&self, account: &Account) -> bool {
        let is_left_out = |name: &String| self.left_out.contains(&digest(name));
        self.holds(&account.native_identity)
            || is_left_out(&account.native_identity)
            || account.stable_id.as_ref().is_some_and(is_left_out)
    }

    /// How many were read.
    pub fn len(&self) -> usize {
        self.read.len()
    }

    /// Whether the source listed none.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.left_out.is_empty()
    }
}

fn digest(native_identity: &str) -> [u8; 16] {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        rekey_vault::sha256(native_identity.as_bytes());
    first
}
