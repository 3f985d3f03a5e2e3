//! Reads settings from the file, then from the environment. Each mistake is reported with its
//! place, in one sentence.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde::Deserialize;
use toml::{Spanned, Table, Value, de::DeTable};

use super::{Config, DEFAULT};
use crate::Error;

/// The file that is read if none is named and this one exists.
const USUAL: &str = "rekey.toml";

/// Every section and setting with its default. The default file is the only list of settings.
static KNOWN: LazyLock<Table> = LazyLock::new(|| {
    // A test parses the same text, so the fallback to an empty table is never reached.
    uncommented(DEFAULT).parse().unwrap_or_default()
});

/// A setting as it was given.
struct Given {
    section: String,
    key: String,
    value: Value,
    /// `rekey.toml line 3`, or the name of an environment variable.
    place: String,
}

impl Config {
    /// Reads the file and the environment. If no file is named, `./rekey.toml` is read if it
    /// exists.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let (name, text) = contents(file)?;
        Self::parse(&name, &text, std::env::vars_os()).map_err(Error::Setup)
    }

    /// Returns every setting with the value that [`Config::load`] gives it, without secrets.
    pub fn shown(file: Option<&Path>) -> Result<Table, Error> {
        let (name, text) = contents(file)?;
        let mut all = KNOWN.clone();
        for setting in given(&name, &text, std::env::vars_os()).map_err(Error::Setup)? {
            put(&mut all, &setting);
        }
        if let Some(Value::String(url)) = all.get_mut("store").and_then(|t| t.get_mut("url")) {
            *url = without_password(url);
        }
        Ok(all)
    }

    /// Parses the text of a file and an environment.
    pub(crate) fn parse(
        file: &str,
        text: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, String> {
        let mut all = Table::new();
        for setting in given(file, text, environment)? {
            put(&mut all, &setting);
        }
        Self::deserialize(all).map_err(|error| error.message().to_owned())
    }
}

/// Returns the name and the text of the file; both are empty without a file.
fn contents(file: Option<&Path>) -> Result<(String, String), Error> {
    let file = match file {
        Some(file) => Some(file.to_owned()),
        None => Some(PathBuf::from(USUAL)).filter(|usual| usual.exists()),
    };
    let Some(file) = file else { return Ok(Default::default()) };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Error::Setup(format!(
            "the configuration {} cannot be read: {error}; name one with --config, or leave it out",
            file.display()
        ))
    })?;
    Ok((file.display().to_string(), text))
}

/// Returns every setting that is given, after checking each.
fn given(
    file: &str,
    text: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, String> {
    let mut given = in_file(file, text)?;
    given.extend(in_environment(environment)?);
    for setting in &given {
        // Each setting is checked alone, so that a mistake can be reported with its place.
        let mut alone = Table::new();
        put(&mut alone, setting);
        Config::deserialize(alone).map_err(|error| {
            let Given { section, key, place, .. } = setting;
            format!("{place}: {section}.{key}: {}", error.message().trim())
        })?;
    }
    Ok(given)
}

/// Hides the password of a URL. A password with an unescaped `@` is hidden completely, too:
/// everything up to the last `@` belongs to the user.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (user, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = user.map_or(String::new(), |user| match user.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None => format!("{user}@"),
    });
    let shown = format!("{scheme}://{user}{rest}");
    let Some((before, after)) = shown.split_once("password=") else { return shown };
    let rest = after.split_once('&').map_or(String::new(), |(_, rest)| format!("&{rest}"));
    format!("{before}password=***{rest}")
}

fn put(table: &mut Table, Given { section, key, value, .. }: &Given) {
    let section = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.clone(), value.clone());
    }
}

fn in_file(file: &str, text: &str) -> Result<Vec<Given>, String> {
    let at = |offset: usize| format!("{file} line {}", line(text, offset));
    let tables = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or_else(|| file.to_owned(), |span| at(span.start));
        format!("{place}: {}", error.message().trim())
    })?;
    let mut given = Vec::new();
    for (section, settings) in tables.get_ref() {
        let (place, section) = (at(section.span().start), section.get_ref().to_string());
        let keys = keys_of(&section).ok_or_else(|| no_section(&place, &section))?;
        let Some(settings) = settings.get_ref().as_table() else {
            return Err(format!(
                "{place}: {section} is a section: write [{section}] on a line of its own, then its settings"
            ));
        };
        for (key, value) in settings {
            let (place, key) = (at(key.span().start), key.get_ref().to_string());
            let Some(default) = keys.get(&key) else {
                return Err(no_key(&place, &section, &key));
            };
            let value = owned(value)
                .filter(|value| value.same_type(default))
                .ok_or_else(|| format!("{place}: {section}.{key} must be {}", example(default)))?;
            given.push(Given { section: section.clone(), key, value, place });
        }
    }
    Ok(given)
}

/// Converts a parsed value. `None` for types that no setting has: a table, a time, a list with
/// items other than texts.
fn owned(value: &Spanned<toml::de::DeValue<'_>>) -> Option<Value> {
    use toml::de::DeValue;
    match value.get_ref() {
        DeValue::Array(items) => {
            let items = items.iter().map(|item| owned(item).filter(Value::is_str));
            items.collect::<Option<_>>().map(Value::Array)
        }
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Integer)
        }
        DeValue::Boolean(yes) => Some(Value::Boolean(*yes)),
        DeValue::Datetime(_) | DeValue::Float(_) | DeValue::Table(_) => None,
    }
}

fn in_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, String> {
    let mut given = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        let Some((section, key)) = name
            .strip_prefix("REKEY_")
            .filter(|rest| !rest.starts_with("TEST_"))
            .and_then(|rest| rest.split_once("__"))
        else {
            continue;
        };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let default = keys_of(&section).and_then(|keys| keys.get(&key));
        let Some(default) = default else { return Err(no_variable(&name)) };
        let Some(text) = value.to_str() else { return Err(format!("{name}: it is not UTF-8")) };
        let value = match default {
            Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
            Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
            Value::Array(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(items.map(Value::from).collect::<Vec<_>>().into())
            }
            Value::Datetime(_) | Value::Float(_) | Value::Table(_) => None,
            Value::String(_) => Some(Value::String(text.to_owned())),
        };
        let value = value.ok_or_else(|| format!("{name}: it must be {}", example(default)))?;
        given.push(Given { section, key, value, place: name });
    }
    Ok(given)
}

fn keys_of(section: &str) -> Option<&'static Table> {
    KNOWN.get(section)?.as_table()
}

fn no_section(place: &str, name: &str) -> String {
    format!("{place}: there is no section [{name}]{}", meant(name, "the sections", &KNOWN))
}

fn no_key(place: &str, section: &str, name: &str) -> String {
    let none = Table::new();
    let what = format!("the settings of [{section}]");
    let meant = meant(name, &what, keys_of(section).unwrap_or(&none));
    format!("{place}: there is no setting {section}.{name}{meant}")
}

fn no_variable(name: &str) -> String {
    let mut known = Vec::new();
    for (section, keys) in KNOWN.iter() {
        let keys = keys.as_table().into_iter().flat_map(Table::keys);
        known.extend(keys.map(|key| format!("REKEY_{section}__{key}").to_uppercase()));
    }
    let mut nearest = rekey_connectors::nearest(name, known.iter().map(String::as_str));
    if nearest.is_empty() {
        nearest = ": see `rekey config default`".into();
    }
    format!("{name}: there is no such setting{nearest}")
}

/// Suggests the name in `all` that is nearest to `name`, or lists all of them.
fn meant(name: &str, what: &str, all: &Table) -> String {
    let nearest = rekey_connectors::nearest(name, all.keys().map(String::as_str));
    if nearest.is_empty() {
        let all: Vec<_> = all.keys().map(String::as_str).collect();
        return format!(": {what} are {}", all.join(", "));
    }
    nearest
}

fn example(default: &Value) -> String {
    match default {
        Value::Array(_) => "a list of texts, like [\"one\", \"another\"]".into(),
        Value::Boolean(_) => "true or false".into(),
        Value::Integer(number) => format!("a whole number, like {number}"),
        Value::String(text) if text.is_empty() => "a text in quotes".into(),
        Value::Datetime(_) | Value::Float(_) | Value::String(_) | Value::Table(_) => {
            format!("a text in quotes, like {default}")
        }
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Enables all settings of the default file: a comment that reads as a setting loses its `# `.
pub(super) fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_setting(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests;
