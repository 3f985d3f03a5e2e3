//! Accounts that lost their owner or await a confirmation, with the reasons.

use super::Report;
use crate::{
    App, Error,
    model::{
        account::{Account, NOBODY},
        id::IdentityId,
        source::Source,
    },
    store::Tx,
};

/// The most accounts that are named per source; the others are only counted.
const NAMED: usize = 20;

pub(super) async fn check(report: &mut Report, app: &App) {
    let read = |tx: &mut Tx<'_>| -> Result<_, Error> {
        let mut found = Vec::new();
        for source in tx.sources()?.into_iter().filter(|source| !source.is_built_in()) {
            let accounts = tx.accounts_without_confirmed_owner(&source)?;
            let waiting = tx.accounts_unconfirmed(&source)?;
            found.push((source, accounts, waiting));
        }
        Ok(found)
    };
    match app.store.read(read).await {
        Ok(found) => {
            for (source, accounts, waiting) in found {
                one(report, &source, &accounts, waiting);
            }
        }
        Err(error) => report.broke("accounts", &error),
    }
}

fn one(report: &mut Report, source: &Source, accounts: &[Account], waiting: i64) {
    let subject = format!("accounts of {}", source.name);
    if waiting > 0 {
        report.warn(
            subject.clone(),
            format!("{waiting} cannot be changed until an aggregation has confirmed whose they are: aggregate the source"),
        );
    }
    for account in accounts.iter().take(NAMED) {
        report.warn(subject.clone(), in_words(source, account));
    }
    if accounts.len() > NAMED {
        let more = accounts.len() - NAMED;
        report.warn(subject.clone(), format!("and {more} more lost or changed their owner"));
    }
    if accounts.is_empty() && waiting == 0 {
        report.ok(subject, "each belongs to whom it belonged before");
    }
}

fn in_words(source: &Source, account: &Account) -> String {
    let native = &account.native_identity;
    if let (Some(_), Some(why)) = (&account.identity_id, &account.uncorrelated_because) {
        return format!("{native:?} cannot be changed: {why}");
    }
    if account.is_unconfirmed() {
        let before = match account.confirmed_owner.as_ref().map(IdentityId::as_str) {
            Some(NOBODY) => "was nobody's when its correlation attribute was given a value",
            Some(_) | None => "belonged to another person",
        };
        return format!(
            "{native:?} {before} and takes no part in sync groups: `rekey account confirm --source \"{}\" \"{native}\"` if that is right",
            source.name
        );
    }
    let why = account.uncorrelated_because.as_deref().unwrap_or("its person was removed");
    format!("{native:?} belongs to nobody: {why}")
}
