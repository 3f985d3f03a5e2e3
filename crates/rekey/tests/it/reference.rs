//! The reference page of the connectors matches what the connector kinds declare.

use rekey::connector::kinds;
use std::{fmt::Write, fs, path::Path};

use rekey_connectors::{
    Attribute, Entry, Reach,
    attribute::{Group, OF_EVERY_KIND, Shape},
};

const BEGIN: &str = "<!-- generated: REKEY_WRITE_REFERENCE=1 cargo test --all-features --test it -- reference -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_of_the_connectors_says_what_they_declare() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/connectors.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("REKEY_WRITE_REFERENCE").is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert_eq!(page, wanted, "REKEY_WRITE_REFERENCE=1 writes the page anew");
    }
}

fn tables() -> String {
    let mut text = String::new();
    for Entry { name, display_name, attributes, .. } in kinds() {
        let _ = write!(text, "\n## `{name}`: {display_name}\n");
        text.push_str(&if attributes.is_empty() {
            "\nIt has no attributes of its own.\n".to_owned()
        } else {
            table(attributes, "")
        });
    }
    let _ = write!(text, "\n## Every kind\n{}", table(OF_EVERY_KIND, ""));
    text.push('\n');
    text
}

fn table(attributes: &[Attribute], at: &str) -> String {
    let head = "| attribute | value | default | reach | group | |\n|---|---|---|---|---|---|\n";
    format!("\n{head}{}", rows(attributes, at))
}

fn rows(attributes: &[Attribute], at: &str) -> String {
    let mut text = String::new();
    for attribute in attributes {
        let Attribute { name, shape, required, default, secret, reach, group, help } = attribute;
        let default = default.unwrap_or(if *required { "required" } else { "" });
        let secret = if *secret { ", sealed" } else { "" };
        let (value, reach, group) = (value(*shape), word(*reach), part(*group));
        let _ = writeln!(
            text,
            "| `{at}{name}` | {value}{secret} | {default} | {reach} | {group} | {help} |"
        );
        if let Shape::Object(nested) = shape {
            text.push_str(&rows(nested, &format!("{at}{name}.")));
        }
    }
    text
}

fn value(shape: Shape) -> String {
    match shape {
        Shape::Boolean => "`true` or `false`".into(),
        Shape::Certificates => "PEM text".into(),
        Shape::Choice(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Shape::Number(from, to) => format!("{from} to {to}"),
        Shape::Object(_) => "object".into(),
        Shape::Text => "text".into(),
        Shape::Texts => "list of texts".into(),
    }
}

fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::Nothing => "",
        Reach::Runs => "runs",
        Reach::Where => "where",
        Reach::Who => "who",
    }
}

fn part(group: Group) -> &'static str {
    match group {
        Group::Accounts => "accounts",
        Group::Connection => "connection",
        Group::SignIn => "sign-in",
    }
}
