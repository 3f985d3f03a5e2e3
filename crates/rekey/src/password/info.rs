//! The facts that a client needs before it can change a password.

use rekey_vault::Padding;

use crate::{
    App, Error,
    access::Caller,
    audit::{Attempt, Party, attempted},
    error::BadRequest,
    model::{
        account::Account,
        audit::UNKNOWN,
        id::IdentityId,
        identity::{Identity, name_key},
        level::Level,
        source::Source,
        source_key::{KeyPadding, SourceKey},
    },
    store::Tx,
};

/// The facts that a client needs to change a password.
pub struct Info {
    /// The person.
    pub identity_id: IdentityId,
    /// The source.
    pub source: Source,
    /// The key to encrypt the new password with.
    pub key: SourceKey,
    /// The person's accounts on the source.
    pub accounts: Vec<Account>,
    /// The policy rules in force, one string each, such as `passwordMinLength is 5`.
    pub policies: Vec<String>,
}

/// Reads the facts for a user name and a source name. Every fault in the two names gives the same
/// error, so that the answer does not reveal which people exist or where they have accounts.
pub async fn info(
    app: &App,
    caller: &Caller,
    user_name: String,
    source_name: String,
    padding: Padding,
) -> Result<Info, Error> {
    let authority =
        caller.is_api_authority() || caller.has_level(&[Level::Helpdesk, Level::OrgAdmin]);
    let own = caller.identity_id.clone().filter(|_| !authority);
    let (is_other, found) = app
        .store
        .read(move |tx| {
            // A caller without rights over other people reads only their own identity: the names of
            // other people take the same queries whether they exist or not.
            let identity = match &own {
                Some(own) => tx.identity(own)?.filter(|person| goes_by(person, &user_name)),
                None => find(tx, &user_name)?,
            };
            let is_other = own.is_some() && identity.is_none();
            Ok::<_, Error>((is_other, look_up(tx, identity, &source_name, padding)?))
        })
        .await?;
    if is_other {
        record_refusal(app, caller);
    }
    found.ok_or_else(nothing)
}

fn look_up(
    tx: &mut Tx<'_>,
    identity: Option<Identity>,
    source_name: &str,
    padding: Padding,
) -> Result<Option<Info>, Error> {
    // No account has an empty identity id: an unknown person takes the same queries as a known
    // person without an account.
    let nobody = || IdentityId(String::new());
    let who = identity.map_or_else(nobody, |identity| identity.id);
    let source = tx.source_named_with(source_name, &who)?;
    let Some(source) = source.filter(Source::has_password) else { return Ok(None) };
    let accounts = tx.accounts_of(&who, &source.id)?;
    let key = tx.active_source_key(&source.id, KeyPadding(padding))?;
    let Some(key) = key.filter(|_| !accounts.is_empty()) else { return Ok(None) };
    let policies = tx.policy_in_force(&source.id)?.unwrap_or_default().0.rules();
    Ok(Some(Info { identity_id: who, source, key, accounts, policies }))
}

/// Records that a person asked about a name that is not theirs. The owner of the name is never
/// read, and the audit row does not contain it.
fn record_refusal(app: &App, caller: &Caller) {
    let attempt = Attempt {
        actor: caller.principal(),
        action: "ACCESS_DENIED",
        object: UNKNOWN,
        why: Some("the name is not one of the caller's own"),
        detail: serde_json::json!({ "operation": "POST /query-password-info" }),
        party: Party::Known(caller.principal().to_owned()),
    };
    attempted(&app.audit, attempt);
}

/// Whether `name` is a login name of that person: their alias or their `uid`.
fn goes_by(person: &Identity, name: &str) -> bool {
    let key = name_key(name);
    name_key(&person.alias) == key
        || person.attribute("uid").is_some_and(|uid| name_key(&uid) == key)
}

/// Finds a person by alias, otherwise by `uid` if exactly one person has it.
fn find(tx: &mut Tx<'_>, user_name: &str) -> Result<Option<Identity>, Error> {
    if let Some(identity) = tx.identity_with_alias(user_name)? {
        return Ok(Some(identity));
    }
    let mut with_uid = tx.identities_with_uid(user_name)?;
    Ok(if with_uid.len() == 1 { with_uid.pop() } else { None })
}

fn nothing() -> Error {
    Error::bad(
        BadRequest::Referenced,
        "there is no such account whose password this caller may change: check userName (the login name) and sourceName (the display name of a source with PASSWORD)",
    )
}
