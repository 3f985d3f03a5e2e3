//! Password policies and the dictionary: checking and storing them. The vault judges passwords.

use rekey_vault::{Dictionary, Policy};

use crate::{
    App, Error,
    error::BadRequest,
    model::{
        column::Json,
        id::{PolicyId, SourceId},
        policy::PasswordPolicy,
        time::Micros,
    },
    store::{Audit, Tx},
};

/// The setting that keeps the dictionary's text, as it was uploaded.
pub const DICTIONARY: &str = "password_dictionary";

/// A policy and the sources whose own policy it is.
#[derive(Clone, Debug)]
pub struct Described {
    /// The policy.
    pub policy: PasswordPolicy,
    /// The sources.
    pub source_ids: Vec<SourceId>,
}

/// All policies, by name.
pub async fn all(app: &App) -> Result<Vec<Described>, Error> {
    app.store
        .read(|tx| {
            let mut all = Vec::new();
            for policy in tx.policies()? {
                let source_ids = tx.sources_with_policy(&policy.id)?;
                all.push(Described { policy, source_ids });
            }
            Ok(all)
        })
        .await
}

/// The dictionary's text; empty if there is none.
pub async fn dictionary(app: &App) -> Result<String, Error> {
    app.store.read(|tx| Ok(tx.setting(DICTIONARY)?.unwrap_or_default())).await
}

/// Creates a default policy if there is none, with the rules that ISC gives a new policy.
pub async fn ensure_default(app: &App) -> Result<(), Error> {
    app.store
        .write(|tx| {
            if tx.default_policy()?.is_some() {
                return Ok(());
            }
            let policy = PasswordPolicy {
                id: PolicyId::new(),
                name: "Default".into(),
                description: Some("In force where no other policy is".into()),
                members: Json(Policy {
                    min_length: 8,
                    min_alpha: 1,
                    min_numeric: 1,
                    ..Policy::default()
                }),
                default_policy: true,
                created: Micros(0),
                modified: Micros(0),
            };
            keep(tx, policy, crate::model::audit::ACTOR).map(|_| ())
        })
        .await
}

/// Adds or updates a policy, inside the caller's transaction. A policy that becomes the default
/// replaces the previous default; the default stays the default until another policy becomes it.
pub fn keep(tx: &mut Tx<'_>, policy: PasswordPolicy, actor: &str) -> Result<PasswordPolicy, Error> {
    check(&policy)?;
    let now = tx.now()?;
    let mut policy = PasswordPolicy { modified: now, ..policy };
    if tx.policy_named(&policy.name)?.is_some_and(|other| other.id != policy.id) {
        return Err(Error::bad(
            BadRequest::Conflict,
            format!("there is a password policy named {} already", policy.name),
        ));
    }
    let action = if let Some(old) = tx.policy(&policy.id)? {
        policy.default_policy |= old.default_policy;
        tx.update_policy(&policy)?;
        "PASSWORD_POLICY_UPDATE"
    } else {
        policy.created = now;
        tx.insert_policy(&policy)?;
        "PASSWORD_POLICY_CREATE"
    };
    if policy.default_policy {
        tx.clear_other_default_policies(&policy.id)?;
    }
    let detail = serde_json::json!({ "name": policy.name });
    tx.audit(Audit { actor, action, object: policy.id.as_str(), detail })?;
    Ok(policy)
}

/// Removes a policy, inside the caller's transaction. Refused while it is the default or in use.
pub fn remove(tx: &mut Tx<'_>, policy: &PasswordPolicy, actor: &str) -> Result<(), Error> {
    let needed = if policy.default_policy {
        Some("the default: make another the default first")
    } else if !tx.sources_with_policy(&policy.id)?.is_empty() {
        Some("the policy of a source: give the source another first")
    } else if !tx.groups_with_policy(&policy.id)?.is_empty() {
        Some("the policy of a sync group: give the group another first")
    } else {
        None
    };
    if let Some(why) = needed {
        return Err(Error::bad(BadRequest::InUse, format!("{} is {why}", policy.name)));
    }
    tx.remove_policy(&policy.id)?;
    let detail = serde_json::json!({ "name": policy.name });
    let object = policy.id.as_str();
    tx.audit(Audit { actor, action: "PASSWORD_POLICY_DELETE", object, detail })?;
    Ok(())
}

/// Checks that a policy has a name, that no number in it is below -1, and that `maxLength` leaves
/// room for the characters that the other rules require.
pub fn check(policy: &PasswordPolicy) -> Result<(), Error> {
    if policy.name.trim().is_empty() {
        return Err(Error::bad(BadRequest::Missing, "name is missing: give the policy a name"));
    }
    let illegal = |text: String| Err(Error::bad(BadRequest::IllegalValue, text));
    let asked = &policy.members.0;
    for (name, number) in [
        ("accountIdMinWordLength", asked.account_id_min_word_length),
        ("accountNameMinWordLength", asked.account_name_min_word_length),
        ("maxLength", asked.max_length),
        ("maxRepeatedChars", asked.max_repeated_chars),
        ("minAlpha", asked.min_alpha),
        ("minCharacterTypes", asked.min_character_types),
        ("minLength", asked.min_length),
        ("minLower", asked.min_lower),
        ("minNumeric", asked.min_numeric),
        ("minSpecial", asked.min_special),
        ("minUpper", asked.min_upper),
    ] {
        if number < -1 {
            return illegal(format!("{name} is {number}: give a number from 0, or -1 for none"));
        }
    }
    let letters =
        asked.min_alpha.max(asked.min_lower.max(0).saturating_add(asked.min_upper.max(0)));
    let least = [letters, asked.min_numeric, asked.min_special]
        .iter()
        .fold(0_i32, |sum, number| sum.saturating_add((*number).max(0)))
        .max(asked.min_length);
    if asked.max_length > 0 && least > asked.max_length {
        return illegal(format!(
            "maxLength is {}, but the other rules ask for at least {least} characters",
            asked.max_length
        ));
    }
    Ok(())
}

/// Stores the dictionary's text as uploaded, inside the caller's transaction.
pub fn keep_dictionary(tx: &mut Tx<'_>, text: &str, actor: &str) -> Result<(), Error> {
    check_dictionary(text)?;
    tx.set_setting(DICTIONARY, text)?;
    let detail = serde_json::Value::Null;
    tx.audit(Audit { actor, action: "PASSWORD_DICTIONARY_UPDATE", object: DICTIONARY, detail })?;
    Ok(())
}

/// Checks that a text is a dictionary. The error names the line.
pub fn check_dictionary(text: &str) -> Result<(), Error> {
    Dictionary::parse(text)
        .map(|_| ())
        .map_err(|why| Error::bad(BadRequest::IllegalValue, format!("dictionary: {why}")))
}
