//! Who may know whom.

use std::{fs, path::Path};

/// Words, and the only places under `src` they may appear in.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("axum::", &["api", "portal", "serve.rs", "serve"]),
    ("Path<", &["api/path.rs"]),
    ("crate::api", &["api", "portal", "serve.rs", "serve"]),
    ("crate::jobs", &["jobs", "api", "serve.rs"]),
    ("rusqlite", &["store", "clock.rs"]),
    ("tokio_postgres", &["store", "clock.rs"]),
    ("axum::extract::Path", &["api/path.rs"]),
    (".expose()", &["builtin.rs"]),
    ("unsafe", &[]),
    ("SELECT ", &["store"]),
    ("INSERT INTO", &["store"]),
];

#[test]
fn words_stay_where_they_belong() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.clone()];
    let mut looked_at = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        looked_at += 1;
        let at = path.strip_prefix(&src).unwrap();
        let found = misplaced(at, &fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", at.display());
    }
    assert!(looked_at > 30);
}

#[test]
fn a_misplaced_word_is_found() {
    assert_eq!(misplaced(Path::new("password/info.rs"), "let x = password.expose();\n").len(), 1);
    assert_eq!(misplaced(Path::new("password/info.rs"), "// .expose() in a comment\n").len(), 0);
}

fn misplaced(at: &Path, code: &str) -> Vec<(&'static str, String)> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (word, places) in KEPT_IN {
            let allowed = places.iter().any(|place| at.starts_with(place));
            if !allowed && line.contains(word) {
                found.push((*word, line.trim().to_owned()));
            }
        }
    }
    found
}
