//! Gathers the accounts that a source lists into batches, and checks how fast the source lists them
//! and how large they are.

use std::time::Duration;

use rekey_connectors::Listed;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::source::room::size;

/// Most accounts in one transaction, and about how many bytes they may have.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1024 * 1024;
/// How long a batch waits for more accounts after its first one.
const GATHER: Duration = Duration::from_millis(200);
/// Longest time without a renewal of the claim.
pub(super) const RENEWAL: Duration = Duration::from_secs(15);
/// Most bytes of names and attributes that an account may have, as they are stored.
const ACCOUNT_BYTES: usize = 64 * 1024;
/// Most bytes of a name or an id: PostgreSQL limits an index row to 2,704.
const NAME_BYTES: usize = 2000;
/// Least number of accounts that a source must list in this time. Only the time that rekey waits
/// for the source counts.
const PACE: (usize, Duration) = (500, Duration::from_mins(1));

/// The accounts that one transaction stores.
pub(super) struct Batch {
    pub(super) accounts: Vec<Listed>,
    /// Whether the source has listed all its accounts.
    pub(super) is_last: bool,
}

/// Returns the next accounts; an empty batch if the source sends nothing for [`RENEWAL`].
pub(super) async fn gather(from: &mut mpsc::Receiver<Listed>) -> Batch {
    let mut until = Instant::now() + RENEWAL;
    let (mut accounts, mut bytes) = (Vec::new(), 0);
    while accounts.len() < BATCH && bytes < BATCH_BYTES {
        let listed = match timeout_at(until, from.recv()).await {
            Ok(Some(listed)) => listed,
            Ok(None) => return Batch { accounts, is_last: true },
            Err(_) => break,
        };
        if accounts.is_empty() {
            until = Instant::now() + GATHER;
        }
        bytes += size(&listed);
        accounts.push(listed);
    }
    Batch { accounts, is_last: false }
}

/// Returns why an account cannot be stored, if so. SQLite and PostgreSQL have different limits:
/// both must be able to hold each account.
pub(super) fn unkeepable(listed: &Listed) -> Option<String> {
    let id = listed.stable_id.as_deref().unwrap_or_default();
    for (text, what) in
        [(listed.native_identity.as_str(), "full name"), (&listed.name, "name"), (id, "id")]
    {
        if text.contains('\0') {
            return Some(format!("its {what} holds the character U+0000"));
        }
        if text.len() > NAME_BYTES {
            return Some(format!("its {what} is longer than {NAME_BYTES} bytes"));
        }
    }
    (size(listed) > ACCOUNT_BYTES)
        .then(|| format!("it has more than {} KiB of names and attributes", ACCOUNT_BYTES / 1024))
}

/// How fast a source lists its accounts.
#[derive(Default)]
pub(super) struct Pace {
    listed: usize,
    waited: Duration,
}

impl Pace {
    /// Counts accounts and the time that rekey waited for them. Fails with an error text if the
    /// source is too slow.
    pub(super) fn count(&mut self, listed: usize, waited: Duration) -> Result<(), String> {
        let (least, time) = PACE;
        self.listed += listed;
        self.waited += waited;
        if self.waited < time {
            return Ok(());
        }
        let Self { listed, waited } = std::mem::take(self);
        if listed >= least {
            return Ok(());
        }
        Err(format!(
            "the source is too slow: {listed} accounts in {} s, fewer than {least} in {} s; those read so far are kept, and none was removed; check the source and the network to it, and aggregate again",
            waited.as_secs(),
            time.as_secs()
        ))
    }
}
