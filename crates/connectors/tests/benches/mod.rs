pub(crate) mod ldap;
pub(crate) mod postgresql;

use std::path::PathBuf;

use serde_json::Value;

fn text(target: &Value, name: &str) -> String {
    target[name].as_str().unwrap_or_else(|| panic!("{name} is missing")).to_owned()
}

fn log(target: &Value) -> Option<PathBuf> {
    target["log"].as_str().map(PathBuf::from)
}
