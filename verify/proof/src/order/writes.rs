//! The writes in the systems' own logs, compared with those that rekey reports.

use rekey_harness::Result;

use super::Race;
use crate::targets::{Directory, Log, PostgresTarget, Targets};

/// The logs of the systems, from the start of the run.
pub(super) struct Logs {
    directory: Log,
    postgres: Log,
}

impl Logs {
    pub(super) fn from_now(targets: &Targets) -> Result<Self> {
        Ok(Self {
            directory: Log::from_now(targets.directory.log())?,
            postgres: Log::from_now(targets.postgres.log())?,
        })
    }

    /// Checks that every applied change was written, and none twice: more writes than changes are
    /// allowed only where a claim was taken over after a stop or a kill.
    pub(super) async fn check(&self, race: &Race) -> Result<()> {
        let directory = Directory::writes(&self.directory.text()?);
        let postgres = PostgresTarget::writes(&self.postgres.text()?);
        let (mut all, mut more) = (0, 0);
        for applied in race.ledger.applied().await? {
            // The directory's native identity is a DN, of which the first value is the name.
            let who = applied.who.trim_start_matches("uid=").split(',').next().unwrap_or_default();
            if !who.starts_with(&race.site.tag) {
                continue;
            }
            let written = match applied.source.as_str() {
                "IdentityNow" => applied.built_in_writes,
                name if name.ends_with("irectory") => {
                    i64::try_from(directory.get(who).map_or(0, |writes| writes.done))?
                }
                _ => {
                    let writes = postgres.get(who);
                    i64::try_from(writes.map_or(0, |writes| writes.values().sum::<u64>()))?
                }
            };
            all += written;
            more += (written - applied.changes).max(0);
            if written < applied.changes || written > applied.changes + applied.again {
                race.blame(&format!(
                    "{who} on {}: {written} writes for {} changes, and {} claims that were taken up again",
                    applied.source, applied.changes, applied.again
                ));
            }
        }
        println!("{all} writes, {more} of them again after a stop");
        Ok(())
    }
}
