//! The set of accounts that a source listed, in memory whose size does not depend on their names.

use std::collections::HashSet;

use rekey_connectors::Listed;

use crate::model::account::Account;

/// Most characters of a name in a message of a task.
const SHOWN: usize = 100;

/// Quotes a name from a source for an error text: shortened, with invisible characters escaped.
pub(crate) fn quoted(name: &str) -> String {
    let mut shown = name.chars();
    let short: String = shown.by_ref().take(SHOWN).collect();
    let more = if shown.next().is_some() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// The accounts that a source listed: a digest of 16 bytes for each, however long their names.
#[derive(Clone, Default)]
pub struct Seen {
    read: HashSet<[u8; 16]>,
    /// The names and ids of the accounts that cannot be stored.
    left_out: HashSet<[u8; 16]>,
}

impl Seen {
    /// Remembers an account. Returns whether it was new.
    pub fn add(&mut self, native_identity: &str) -> bool {
        self.read.insert(digest(native_identity))
    }

    /// Remembers an account that cannot be stored, so that its stored form is left as it is.
    /// Returns whether it was new.
    pub fn leave_out(&mut self, listed: &Listed) -> bool {
        self.left_out.extend(listed.stable_id.iter().map(|id| digest(id)));
        self.left_out.insert(digest(&listed.native_identity))
    }

    /// Whether an account was read.
    pub fn holds(&self, native_identity: &str) -> bool {
        self.read.contains(&digest(native_identity))
    }

    /// Whether the source has an account, even if it was left out.
    pub(super) fn shows(&self, account: &Account) -> bool {
        let is_left_out = |name: &String| self.left_out.contains(&digest(name));
        self.holds(&account.native_identity)
            || is_left_out(&account.native_identity)
            || account.stable_id.as_ref().is_some_and(is_left_out)
    }

    /// The number of accounts that were read.
    pub fn len(&self) -> usize {
        self.read.len()
    }

    /// Whether the source listed no account.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.left_out.is_empty()
    }
}

/// Returns the first 16 bytes of the SHA-256 of a name or an id.
fn digest(native_identity: &str) -> [u8; 16] {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        rekey_vault::sha256(native_identity.as_bytes());
    first
}
