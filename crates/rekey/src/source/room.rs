//! Limits on the data that rekey stores of one source, whatever the source lists.

use rekey_connectors::Listed;
use serde_json::{Map, Value};

use crate::{
    Error,
    config::Limits,
    model::{account::Account, id::SourceId},
    store::Tx,
};

/// The number of accounts and bytes that may be added to a source.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    accounts: i64,
    bytes: i64,
}

impl Room {
    /// Returns the difference between the limits and the accounts in the store.
    pub fn of(tx: &mut Tx<'_>, source: &SourceId, limits: &Limits) -> Result<Self, Error> {
        let kept = tx.accounts_kept(source)?;
        let accounts = i64::try_from(limits.accounts_per_source).unwrap_or(i64::MAX);
        let bytes = i64::try_from(limits.megabytes_per_source).unwrap_or(i64::MAX);
        Ok(Self {
            accounts: accounts - kept.accounts,
            bytes: bytes.saturating_mul(1024 * 1024) - kept.bytes,
        })
    }

    /// Reserves the room for one more account. Returns false if there is none.
    pub(super) fn add(&mut self, listed: &Listed) -> bool {
        let bytes = signed(size(listed));
        let has_room = self.accounts > 0 && self.bytes >= bytes;
        if has_room {
            self.accounts -= 1;
            self.bytes -= bytes;
        }
        has_room
    }

    /// Counts the replacement of `old` by `new`. If the new attributes have no room, `new` gets the
    /// old ones. Returns whether they had room.
    pub(super) fn replace(&mut self, old: &Account, new: &mut Account) -> bool {
        let more = |new: &Account| size_of(new) - size_of(old);
        let has_room = more(new) <= self.bytes.max(0);
        if !has_room {
            new.attributes.clone_from(&old.attributes);
        }
        self.bytes -= more(new);
        has_room
    }
}

/// Returns the size of an account as it is stored, in bytes.
pub fn size(listed: &Listed) -> usize {
    let Listed { native_identity, name, stable_id, attributes, .. } = listed;
    bytes(attributes, [native_identity, name, stable_id.as_deref().unwrap_or_default()])
}

fn size_of(account: &Account) -> i64 {
    let Account { native_identity, name, stable_id, attributes, .. } = account;
    signed(bytes(&attributes.0, [native_identity, name, stable_id.as_deref().unwrap_or_default()]))
}

fn bytes(attributes: &Map<String, Value>, texts: [&str; 3]) -> usize {
    let attributes = serde_json::to_vec(attributes).map_or(usize::MAX, |json| json.len());
    texts.iter().fold(attributes, |bytes, text| bytes.saturating_add(text.len()))
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
