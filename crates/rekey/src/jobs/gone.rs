//! Removes the accounts that a source no longer lists.

use std::sync::Arc;

use super::aggregate::{CHANGED, PAGE, Reading};
use crate::{
    Error,
    source::{
        aggregation::{count_unseen, remove_unseen},
        seen::Seen,
    },
};

/// Up to this many accounts are removed at once, whatever share of the source's accounts they are.
const FEW: u64 = 5;

impl Reading<'_> {
    /// Removes the accounts that the source no longer lists. So many missing accounts that the
    /// source more likely fails to list them remove none, and are returned as an error text.
    pub(super) async fn remove(&mut self, seen: &Arc<Seen>) -> Result<Option<String>, Error> {
        let Some((unseen, all)) = self.count(seen).await? else { return Ok(Some(CHANGED.into())) };
        if seen.is_empty() && all > 0 {
            return Ok(Some(format!(
                "the source listed no account, and rekey knows {all}: nothing was removed; check what the source's account may read and how accounts are selected"
            )));
        }
        let (before, percent) =
            // Accounts that this aggregation created do not raise the threshold.
            (all.saturating_sub(self.total.created), self.source.delete_threshold());
        if unseen > FEW && unseen.saturating_mul(100) > before.saturating_mul(percent) {
            return Ok(Some(format!(
                "{unseen} of {before} accounts are gone from the source, more than its deleteThreshold of {percent} %: nothing was removed; check the source, or raise deleteThreshold and aggregate again"
            )));
        }
        let mut after = String::new();
        let mut removed = 0;
        loop {
            let (seen, from) = (seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| remove_unseen(tx, &source.id, &seen, &from, PAGE))
                .await?;
            let Some((gone, next)) = page else { return Ok(Some(CHANGED.into())) };
            removed += gone;
            self.counts.insert("deleted".into(), removed.into());
            match next {
                Some(next) => after = next,
                None => return Ok(None),
            }
        }
    }

    /// Counts the accounts that were not seen, and all accounts. `None` if the source was changed
    /// meanwhile.
    async fn count(&self, seen: &Arc<Seen>) -> Result<Option<(u64, u64)>, Error> {
        let mut after = String::new();
        let (mut unseen, mut all) = (0, 0);
        loop {
            let (seen, from) = (seen.clone(), after.clone());
            let page = self
                .page(move |tx, source| count_unseen(tx, &source.id, &seen, &from, PAGE))
                .await?;
            let Some((more, looked_at, next)) = page else { return Ok(None) };
            unseen += more;
            all += looked_at;
            match next {
                Some(next) => after = next,
                None => return Ok(Some((unseen, all))),
            }
        }
    }
}
