//! The right to set where a source's passwords are sent, and to whom its accounts belong.
//!
//! Without this check the owner of a source could have other people's passwords sent to a system of
//! their own, or take over another person's accounts (docs/decisions/0015). The kinds of connectors
//! declare what depends on each attribute; this module applies one rule to every way of writing a
//! source.

use rekey_connectors::{Difference, Reach};
use serde_json::{Map, Value};

use crate::{
    Error,
    access::{Caller, ENDPOINT},
    connector::kind,
    model::source::Source,
};

/// Members of a source, besides its connector attributes, that decide to whom accounts belong.
const WHO: &[&str] = &["authoritative", "severalAccounts"];

/// The party on whose behalf a source is written.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A caller of the API.
    Caller(&'a Caller),
    /// The operator on rekey's own machine, with `rekey apply`, and rekey itself.
    Operator,
}

/// The consequences of a permitted change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Passwords may be sent to another system, or less safely.
    pub moved: bool,
    /// The source may list other accounts, or they may belong to other people.
    pub who: bool,
}

/// Checks a write. Fails with 403 and the names of the members that this caller may not write.
/// `old` is `None` for a new source.
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
            // Without the right to point sources, a new source may only be described: everything
            // else is set once its system is known.
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

/// Returns the members, besides the connector attributes, that need the right to point sources: the
/// features and all extra members of a new source, and the changed members among `WHO` otherwise.
fn members<'a>(old: Option<&Source>, new: &'a Source) -> Vec<&'a str> {
    let Some(old) = old else {
        let features = (!new.features.0.is_empty()).then_some("features");
        // Client libraries also send members that have a default, which is `false`.
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
