//! The format of a site file (`site.yaml`).

use std::{collections::HashSet, path::Path};

use rekey_vault::Password;
use serde::Deserialize;
use serde_json::{Map, Value};

use rekey_connectors::nearest;

use crate::{
    Error,
    error::BadRequest,
    model::{identity::name_key, level::Level},
};

/// The whole file. An absent list leaves its objects in the store unchanged.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Site {
    pub(super) identities: Option<Vec<Person>>,
    pub(super) policies: Option<Vec<Map<String, Value>>>,
    pub(super) dictionary: Option<Value>,
    pub(super) sources: Option<Vec<System>>,
    pub(super) sync_groups: Option<Vec<Group>>,
    pub(super) clients: Option<Vec<Client>>,
}

/// A person. An absent member keeps its value, or has its default if the person is new.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Person {
    pub(super) alias: String,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) capabilities: Option<Vec<Level>>,
    pub(super) attributes: Option<Map<String, Value>>,
    pub(super) password: Option<Value>,
    pub(super) enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct System {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) connector: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) features: Option<Vec<String>>,
    pub(super) policy: Option<String>,
    pub(super) deadline: Option<String>,
    pub(super) several_accounts: Option<bool>,
    pub(super) connector_attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) policy: Option<String>,
    pub(super) sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) grant_types: Option<Vec<String>>,
    pub(super) redirect_uris: Option<Vec<String>>,
    pub(super) scope: Option<Vec<String>>,
    pub(super) access_token_validity_seconds: Option<i64>,
    pub(super) public: Option<bool>,
    pub(super) enabled: Option<bool>,
}

/// Parses a site file. Errors name the position and, for a misspelt name, the nearest known one.
pub(super) fn parse(text: &str) -> Result<Site, Error> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Site::default());
    }
    let site: Site = serde_yaml_ng::from_str(text)
        .map_err(|error| Error::bad(BadRequest::Syntax, in_words(&error.to_string())))?;
    for (list, names) in [
        ("identities", names(site.identities.as_deref(), |person| &person.alias)),
        ("sources", names(site.sources.as_deref(), |source| &source.name)),
        ("syncGroups", names(site.sync_groups.as_deref(), |group| &group.name)),
        ("clients", names(site.clients.as_deref(), |client| &client.name)),
    ] {
        let mut seen = HashSet::new();
        if let Some(twice) = names.into_iter().find(|name| !seen.insert(name_key(name))) {
            return Err(illegal(format!("{list}: {twice} is there twice")));
        }
    }
    Ok(site)
}

fn names<'a, T>(list: Option<&'a [T]>, name: impl Fn(&'a T) -> &'a String) -> Vec<&'a String> {
    list.unwrap_or_default().iter().map(name).collect()
}

/// serde's error text without secret values, and with the nearest of the expected names.
fn in_words(sentence: &str) -> String {
    if let Some(without) = without_value(sentence) {
        return without;
    }
    let mut quoted = sentence.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(unknown) if sentence.contains("unknown ") => {
            format!("{sentence}{}", nearest(unknown, quoted))
        }
        Some(_) | None => sentence.to_owned(),
    }
}

/// Removes the value from an error about a wrong one: it may be a secret, so only its kind and
/// position remain. `None` if the error is not about a value.
fn without_value(sentence: &str) -> Option<String> {
    let starts = ["invalid type: ", "invalid value: "].iter();
    let start = starts.filter_map(|words| Some(sentence.find(words)? + words.len())).min()?;
    let (before, wrong) = sentence.split_at_checked(start)?;
    let (wrong, after) = wrong.split_at_checked(wrong.rfind(", expected ")?)?;
    let kind = wrong.split(['"', '`']).next().unwrap_or_default();
    let hidden = if kind.len() < wrong.len() { "…" } else { "" };
    Some(format!("{before}{kind}{hidden}{after}"))
}

/// A text from `{file: …}`, `{env: …}` or the value itself; `what` names the member in errors.
pub(super) fn text(value: &Value, folder: &Path, what: &str) -> Result<String, Error> {
    match resolve(value.clone(), folder, what)? {
        Value::String(text) => Ok(text),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
            Err(illegal(format!(
                "{what}: give a text (in quotes, if it looks like a number), {{file: PATH}} or {{env: NAME}}"
            )))
        }
    }
}

/// Reads a password as [`text`] does.
pub(super) fn password(value: &Value, folder: &Path, what: &str) -> Result<Password, Error> {
    text(value, folder, what).map(Password::new)
}

/// Replaces every `{file: …}` and `{env: …}` in a value by the content of the file or variable.
pub(super) fn resolve(value: Value, folder: &Path, what: &str) -> Result<Value, Error> {
    match value {
        Value::Object(members) if members.len() == 1 => {
            for (key, value) in &members {
                match (key.as_str(), value) {
                    ("file", Value::String(file)) => return read(folder, file, what),
                    ("env", Value::String(name)) => {
                        return std::env::var(name).map(Value::String).map_err(|_| {
                            illegal(format!("{what}: the environment variable {name} is not set"))
                        });
                    }
                    _ => {}
                }
            }
            resolve_all(members, folder, what).map(Value::Object)
        }
        Value::Object(members) => resolve_all(members, folder, what).map(Value::Object),
        Value::Array(values) => values
            .into_iter()
            .map(|value| resolve(value, folder, what))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Ok(plain),
    }
}

/// Applies [`resolve`] to every member.
pub(super) fn resolve_all(
    members: Map<String, Value>,
    folder: &Path,
    what: &str,
) -> Result<Map<String, Value>, Error> {
    members
        .into_iter()
        .map(|(name, value)| {
            let value = resolve(value, folder, &format!("{what}.{name}"))?;
            Ok((name, value))
        })
        .collect()
}

/// A file's text without its last line break, which editors add after a secret.
fn read(folder: &Path, file: &str, what: &str) -> Result<Value, Error> {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| illegal(format!("{what}: {} cannot be read: {error}", path.display())))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Value::String(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// Prefixes an error about a bad request with the object that it is about.
pub(super) fn about(what: &str, error: Error) -> Error {
    let Error::BadRequest { code, text } = error else { return error };
    let text = if text.starts_with(what) { text } else { format!("{what}: {text}") };
    Error::BadRequest { code, text }
}

pub(super) fn illegal(text: impl Into<String>) -> Error {
    Error::bad(BadRequest::IllegalValue, text)
}
