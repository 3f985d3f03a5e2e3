//! Who may say where a source's passwords are sent, and whose its accounts are.
//!
//! The owner of a source could otherwise have other people's passwords sent to a system of their
//! own, or make somebody else's accounts theirs (docs/decisions/0015). The kinds declare what
//! depends on each attribute; this is the one rule that follows, for every way to write a source.

use rekey_connectors::{Difference, Reach};
use serde_json::{Map, Value};

use crate::{
    Error,
    access::{Caller, ENDPOINT},
    connector::kind,
    model::source::Source,
};

/// Members of a source beside its connector attributes that decide whose accounts are whose.
const WHO: &[&str] = &["authoritative", "severalAccounts"];

/// On whose behalf a source is written.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A caller of the API.
    Caller(&'a Caller),
    /// Whoever runs rekey at its machine: `rekey apply`, and rekey itself.
    Operator,
}

/// What a permitted change comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Passwords may go to another system, or get there less safely.
    pub moved: bool,
    /// Other accounts may be listed, or belong to other people.
    pub who: bool,
}

/// Fails with 403 and the names of the members that this caller may not write. `old` is none for a
/// new source.
pub fn check(by: By<'_>, old: Option<&Source>, new: &Source) -> Result<Changed, Error> {
    let none = Map::new();
    let attributes = old.map_or(&none, |old| &old.connector_attributes.0);
    let kind = kind(&new.connector)?;
    let differences = kind.differences(attributes, &new.connector_attributes.0);
    let members = members(old, new);
    if let By::Caller(caller) = by {
        let runs: Vec<_> = differences.iter().filter(|found| found.reach == Reach::Runs).collect();
        if !runs.is_empty() {
            return Err(Error::Forbidden(format!(
                "{} names a program that rekey runs: only `rekey apply` on rekey's own machine may set it",
                names(runs.into_iter(), [])
            )));
        }
        if !caller.may_point_sources() {
            // A new source gets nothing but what describes it: all else follows when its system is.
            let refused = |found: &&Difference| old.is_none() || found.reach != Reach::Nothing;
            let names = names(differences.iter().filter(refused), members.iter().copied());
            if !names.is_empty() {
                return Err(refusal(&names, old));
            }
        }
    }
    Ok(Changed {
        moved: differences.iter().any(|found| found.moves),
        who: differences.iter().any(|found| found.reach == Reach::Who)
            || members.iter().any(|name| WHO.contains(name)),
    })
}

/// The members beside the connector attributes that matter here: every one of a new source, and
/// those that decide whose accounts are whose.
fn members<'a>(old: Option<&Source>, new: &'a Source) -> Vec<&'a str> {
    let Some(old) = old else {
        let features = (!new.features.0.is_empty()).then_some("features");
        // Client libraries send the members they have a default for, which is `false`.
        let extra = new.extra.0.iter().filter(|(_, value)| **value != Value::Bool(false));
        return features.into_iter().chain(extra.map(|(name, _)| name.as_str())).collect();
    };
    let of = |source: &Source, name: &str| source.extra.0.get(name).cloned();
    WHO.iter().copied().filter(|name| of(old, name) != of(new, name)).collect()
}

fn names<'a>(
    differences: impl Iterator<Item = &'a Difference>,
    members: impl IntoIterator<Item = &'a str>,
) -> String {
    let attributes = differences.map(|found| format!("connectorAttributes.{}", found.path));
    attributes.chain(members.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

fn refusal(names: &str, old: Option<&Source>) -> Error {
    let what = match old {
        Some(_) => "decide where passwords are sent and whose the accounts are",
        None => {
            "are not for you to set: create the source with name, description, owner and connector"
        }
    };
    Error::Forbidden(format!(
        "{names} {what}; ask an organization administrator (ORG_ADMIN), or use an API client with the scope {ENDPOINT}"
    ))
}
