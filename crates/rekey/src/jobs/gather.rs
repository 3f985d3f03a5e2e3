//! What a source lists, in batches: how fast it must list, and what an account may hold.

use std::time::Duration;

use rekey_connectors::Listed;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::source::room::size;

/// Accounts in one transaction, and about how many bytes of them.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1024 * 1024;
/// How long a transaction waits for more accounts once it has one.
const GATHER: Duration = Duration::from_millis(200);
/// A claim is renewed at least this often.
pub(super) const RENEWAL: Duration = Duration::from_secs(15);
/// What an account may have in names and attributes, as they are kept.
const ACCOUNT_BYTES: usize = 64 * 1024;
/// The bytes of a name or an id: PostgreSQL takes 2,704 in a row of an index.
const NAME_BYTES: usize = 2000;
/// Accounts that a source must list in this time, of which only what rekey waits for it counts.
const PACE: (usize, Duration) = (500, Duration::from_mins(1));

/// What is kept in one transaction.
pub(super) struct Batch {
    pub(super) accounts: Vec<Listed>,
    /// Whether the source has listed all.
    pub(super) is_last: bool,
}

/// The next accounts; none of them if the source sends nothing for [`RENEWAL`].
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

/// Why an account cannot be kept. The stores differ in what they hold: each account must be held by
/// both.
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
    /// Counts accounts and the time that rekey waited for them. A sentence, if they are too slow.
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
