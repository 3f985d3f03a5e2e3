//! What a caller may create.

use super::{NewSource, Source, change, reach};
use crate::{
    App, Error,
    access::{Caller, Level},
    builtin,
    error::BadRequest,
    keys,
    store::Tx,
};

/// Creates a source for a caller, within the caller's rights and number of sources.
pub async fn create_for(app: &App, caller: &Caller, new: NewSource) -> Result<Source, Error> {
    let is_org_admin = caller.has_level(&[Level::OrgAdmin]);
    // A built-in source keeps a verifier for everybody, in rekey's own store.
    if new.connector == builtin::NAME && !is_org_admin && !caller.is_api_authority() {
        return Err(Error::Forbidden(
            "a source of the kind rekey has an account for everyone: ask an organization administrator (ORG_ADMIN) to create it".into(),
        ));
    }
    let most = match app.config.limits.sources_per_owner {
        0 => None,
        most => Some(i64::from(most)),
    };
    let most = most.filter(|_| !is_org_admin);
    let source = change::prepare(app, new)?;
    reach::check(reach::By::Caller(caller), None, &source)?;
    let keys = keys::generate_needed(app, &source).await?;
    let actor = caller.principal().to_owned();
    app.store
        .write(move |tx| {
            if let Some(most) = most {
                check_number(tx, &source, &actor, most)?;
            }
            change::insert(tx, source.clone(), &keys, &actor)
        })
        .await
}

/// Fails where the owner has, or the creator has created, as many sources as allowed. Both count:
/// otherwise a creator could name another owner for each hundred.
fn check_number(tx: &mut Tx<'_>, source: &Source, creator: &str, most: i64) -> Result<(), Error> {
    if tx.sources_of_owner(&source.owner_id)?.max(tx.sources_of_creator(creator)?) < most {
        return Ok(());
    }
    Err(Error::bad(
        BadRequest::Limit,
        format!(
            "the owner or the creator has {most} sources already: remove some, or ask an organization administrator (ORG_ADMIN) to create it or to raise limits.sources_per_owner"
        ),
    ))
}
