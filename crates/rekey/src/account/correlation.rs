//! Correlation: finding the person to whom an account belongs.
//!
//! An account names its person by one of its attributes. A connected system and its users are not
//! trusted to name only themselves: values are compared as the system compares them, blank values
//! name nobody, and one person has one account on a source unless the source allows several. If
//! several accounts name one person, their order does not show which of them is the right one, so
//! none of them becomes that person's, except one that already was, by its stable id.

use std::collections::HashMap;

use rekey_connectors::Listed;

use crate::{
    Error,
    connector::kind,
    model::{
        account::{Account, NOBODY},
        id::IdentityId,
        identity::Identity,
        source::{Correlation, Source},
    },
    store::{Audit, Tx},
};

/// The correlation of the accounts of one source.
pub struct Correlator {
    by: By,
    ignores_case: bool,
    /// Whether a person may have several accounts on the source.
    allows_several: bool,
    /// Whether an account may be correlated with a person who has capabilities.
    allows_privileged: bool,
}

enum By {
    /// By the person's login name.
    Alias(String),
    /// By another attribute: its name on the account, and the person that each value names; none if
    /// the value names two people.
    Attribute(String, HashMap<String, Option<Named>>),
    /// The source has no correlation: accounts stay as they are.
    Nothing,
}

#[derive(Clone)]
struct Named {
    id: IdentityId,
    is_privileged: bool,
}

impl Named {
    fn of(person: Identity) -> Self {
        Self { is_privileged: !person.capabilities.0.is_empty(), id: person.id }
    }
}

/// The person that an account names.
pub(crate) enum Claim {
    /// The source has no correlation.
    Nothing,
    /// The account names no person that it may be correlated with; with the reason if it named one.
    Nobody(Option<String>),
    /// This person.
    Person(IdentityId),
}

impl Correlator {
    /// Reads the correlation of `source`. For an identity attribute other than `alias` this reads
    /// all identities.
    pub fn new(tx: &mut Tx<'_>, source: &Source) -> Result<Self, Error> {
        let ignores_case = kind(&source.connector)?.ignores_case;
        let allows_several = source.allows_several_accounts();
        if source.is_built_in() {
            let by = By::Alias("nativeIdentity".into());
            return Ok(Self { by, ignores_case, allows_several, allows_privileged: true });
        }
        let Some(correlation) = source.correlation()? else {
            let by = By::Nothing;
            return Ok(Self { by, ignores_case, allows_several, allows_privileged: false });
        };
        let Correlation { account_attribute, identity_attribute, privileged } = correlation;
        let by = if identity_attribute == "alias" {
            By::Alias(account_attribute)
        } else {
            let mut people = HashMap::new();
            for person in tx.identities()? {
                let Some(value) = person.attribute(&identity_attribute) else { continue };
                people
                    .entry(folded(&value, ignores_case))
                    .and_modify(|named| *named = None)
                    .or_insert(Some(Named::of(person)));
            }
            By::Attribute(account_attribute, people)
        };
        Ok(Self { by, ignores_case, allows_several, allows_privileged: privileged })
    }

    /// The person that an account names. Values that name different people name nobody.
    pub(crate) fn claim(&self, tx: &mut Tx<'_>, listed: &Listed) -> Result<Claim, Error> {
        let mut named: Option<Named> = None;
        let Some(attribute) = self.attribute() else { return Ok(Claim::Nothing) };
        for value in listed.values(attribute) {
            let Some(person) = self.person(tx, &value)? else { continue };
            if named.as_ref().is_some_and(|named| named.id != person.id) {
                return Ok(Claim::Nobody(Some(format!("its {attribute} names several people"))));
            }
            named = Some(person);
        }
        Ok(match named {
            None => Claim::Nobody(None),
            Some(person) if person.is_privileged && !self.allows_privileged => {
                Claim::Nobody(Some(PRIVILEGED.to_owned()))
            }
            Some(person) => Claim::Person(person.id),
        })
    }

    /// Whether an account is listed with a value of the correlation attribute that it did not have
    /// when it was last read. If an administrator has changed the source since then and the account
    /// had no value of this attribute, the values do not count as new: the attribute may not have
    /// been read before.
    pub(crate) fn names_anew(&self, source: &Source, old: &Account, listed: &Listed) -> bool {
        let Some(attribute) = self.attribute() else { return false };
        let before = Listed {
            native_identity: old.native_identity.clone(),
            stable_id: None,
            name: old.name.clone(),
            attributes: old.attributes.0.clone(),
            disabled: false,
            locked: false,
        };
        let before = before.values(attribute);
        if before.is_empty() && old.generation < source.generation {
            return false;
        }
        let is_known =
            |value: &String| before.iter().any(|known| is_equal(known, value, self.ignores_case));
        !listed.values(attribute).iter().all(is_known)
    }

    fn attribute(&self) -> Option<&str> {
        match &self.by {
            By::Nothing => None,
            By::Alias(attribute) | By::Attribute(attribute, _) => Some(attribute),
        }
    }

    fn person(&self, tx: &mut Tx<'_>, value: &str) -> Result<Option<Named>, Error> {
        // PostgreSQL cannot store U+0000, so no person has it in an attribute.
        if value.trim().is_empty() || value.contains('\0') {
            return Ok(None);
        }
        Ok(match &self.by {
            By::Nothing => None,
            // The store compares login names more loosely than connected systems do.
            By::Alias(_) => tx
                .identity_with_alias(value)?
                .filter(|person| is_equal(&person.alias, value, self.ignores_case))
                .map(Named::of),
            By::Attribute(_, people) => {
                people.get(&folded(value, self.ignores_case)).cloned().flatten()
            }
        })
    }

    /// Decides the owner of an account after all accounts were read, inside the caller's
    /// transaction. Returns the reason if the account gets no owner.
    pub(crate) fn settle(
        &self,
        tx: &mut Tx<'_>,
        source: &Source,
        account: &Account,
    ) -> Result<Option<String>, Error> {
        let Some(person) = account.claims.clone() else { return Ok(None) };
        let others = tx.accounts_that_claim(&source.id, &person)?;
        let is_owned = |other: &&Account| other.identity_id.as_ref() == Some(&person);
        // An administrator's assignment takes precedence over the result of an earlier aggregation.
        let given = others.iter().filter(is_owned).filter(|other| other.manually_correlated);
        let mut holders: Vec<&Account> = given.collect();
        if holders.is_empty() {
            holders = others.iter().filter(is_owned).filter(|other| other.generation > 0).collect();
        }
        // The person may have gained capabilities since the aggregation began.
        let is_privileged = !self.allows_privileged
            && tx.identity(&person)?.is_some_and(|person| !person.capabilities.0.is_empty());
        let refused = if is_privileged {
            Some(PRIVILEGED.to_owned())
        } else if self.allows_several
            || others.len() == 1
            || matches!(*holders, [one] if one.id == account.id)
        {
            None
        } else {
            Some(format!("{} accounts of this source name the same person", others.len()))
        };
        let now = tx.now()?;
        let mut settled =
            Account { generation: source.generation, modified: now, ..account.clone() };
        let owner = refused.is_none().then(|| person.clone());
        settled.set_owner(owner, refused.clone());
        note_owner(tx, account, &settled)?;
        tx.update_account(&settled)?;
        if refused.is_some() && holders.len() > 1 {
            // All of them lose the person at once: otherwise the last of several would become the
            // only one that names them, and so their account.
            for other in holders {
                if other.id != account.id && !other.manually_correlated {
                    let mut lost = Account { modified: now, ..other.clone() };
                    lost.set_owner(None, refused.clone());
                    note_owner(tx, other, &lost)?;
                    tx.update_account(&lost)?;
                }
            }
        }
        Ok(refused)
    }
}

/// The accounts that a person with capabilities cannot have, each with the name of its source:
/// those on sources that do not allow it, unless an administrator assigned the account.
pub(crate) fn not_for_privileged(
    tx: &mut Tx<'_>,
    identity: &IdentityId,
) -> Result<Vec<(Account, String)>, Error> {
    let mut found = Vec::new();
    for source in tx.sources()? {
        if source.is_built_in() || source.correlation()?.is_some_and(|found| found.privileged) {
            continue;
        }
        let accounts = tx.accounts_of(identity, &source.id)?;
        let by_correlation = accounts.into_iter().filter(|account| !account.manually_correlated);
        found.extend(by_correlation.map(|account| (account, source.name.clone())));
    }
    Ok(found)
}

/// Takes those accounts from a person, inside the caller's transaction. Returns their names, with
/// their sources.
pub(crate) fn release_privileged(
    tx: &mut Tx<'_>,
    identity: &IdentityId,
) -> Result<Vec<String>, Error> {
    let mut released = Vec::new();
    for source in tx.sources()? {
        // The lock keeps aggregations from writing accounts until this transaction ends.
        tx.hold_source(&source.id, source.version)?;
    }
    for (old, source) in not_for_privileged(tx, identity)? {
        let mut account = Account { claims: None, modified: tx.now()?, ..old.clone() };
        account.set_owner(None, Some(PRIVILEGED.to_owned()));
        note_owner(tx, &old, &account)?;
        tx.update_account(&account)?;
        released.push(format!("{} on {source}", account.native_identity));
    }
    Ok(released)
}

const PRIVILEGED: &str =
    "it names a person with capabilities, and the source does not have correlation.privileged";

/// Writes the audit row for an account with a new owner. First owners get no row each, since the
/// aggregation has one.
pub(crate) fn note_owner(tx: &mut Tx<'_>, old: &Account, new: &Account) -> Result<(), Error> {
    let from = old.identity_id.as_ref().or(old.confirmed_owner.as_ref());
    if old.identity_id == new.identity_id || from.is_none() || from == new.identity_id.as_ref() {
        return Ok(());
    }
    let detail = serde_json::json!({
        "sourceId": new.source_id,
        "from": from.filter(|from| from.as_str() != NOBODY),
        "to": new.identity_id,
        "personal": { "because": new.uncorrelated_because },
    });
    let (actor, object) = (crate::model::audit::ACTOR, new.id.as_str());
    Ok(tx.audit(Audit { actor, action: "ACCOUNT_OWNER_CHANGE", object, detail })?)
}

/// Whether two values are equal to a system.
pub(crate) fn is_equal(one: &str, other: &str, ignores_case: bool) -> bool {
    folded(one, ignores_case) == folded(other, ignores_case)
}

fn folded(value: &str, ignores_case: bool) -> String {
    if ignores_case { value.to_ascii_lowercase() } else { value.to_owned() }
}
