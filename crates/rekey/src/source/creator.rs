//! The limits on the sources that a caller may create.

use super::{NewSource, change, reach};
use crate::{
    App, Error,
    access::{Caller, ENDPOINT},
    error::BadRequest,
    keys,
    model::{
        id::IdentityId,
        level::Level,
        source::{BUILT_IN, Source},
    },
    store::Tx,
};

/// Creates a source for a caller, within the caller's rights and number of sources.
pub async fn create_for(app: &App, caller: &Caller, new: NewSource) -> Result<Source, Error> {
    // A built-in source stores a verifier for every person, in rekey's own store.
    if new.connector == BUILT_IN && !caller.may_point_sources() {
        return Err(Error::Forbidden(format!(
            "a source of the kind rekey has an account for everyone: ask an organization administrator (ORG_ADMIN) to create it, or use an API client with the scope {ENDPOINT}"
        )));
    }
    let most = most_of(app, caller);
    let source = change::prepare(app, new)?;
    reach::check(reach::By::Caller(caller), None, &source)?;
    let keys = keys::generate_needed(&app.keys, &source).await?;
    let actor = caller.principal().to_owned();
    app.store
        .write(move |tx| {
            if let Some(most) = most {
                let created = tx.sources_of_creator(&actor)?;
                check_number(tx, &source.owner_id, created, most)?;
            }
            change::insert(tx, source.clone(), &keys, &actor)
        })
        .await
}

/// Returns how many sources an owner may have when this caller writes one; `None` without a limit.
pub(super) fn most_of(app: &App, caller: &Caller) -> Option<i64> {
    let most = i64::from(app.config.limits.sources_per_owner);
    (most > 0 && !caller.has_level(&[Level::OrgAdmin])).then_some(most)
}

/// Fails if the owner has, or the creator has created, as many sources as allowed. Both count:
/// otherwise a creator could name a new owner each time the limit is reached.
pub(super) fn check_number(
    tx: &mut Tx<'_>,
    owner: &IdentityId,
    created: i64,
    most: i64,
) -> Result<(), Error> {
    if tx.sources_of_owner(owner)?.max(created) < most {
        return Ok(());
    }
    Err(Error::bad(
        BadRequest::Limit,
        format!(
            "the owner or the creator has {most} sources already: remove some, or ask an organization administrator (ORG_ADMIN) to do it or to raise limits.sources_per_owner"
        ),
    ))
}
