//! The allowed imports among the modules of the service, and the words that are confined to some
//! places.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    UseTree,
    visit::{self, Visit},
};

/// The top modules, from the ground up. A module imports only from the rows before its own.
const FLOORS: &[&[&str]] = &[
    &["jitter", "metrics", "model", "proof", "tls"],
    &["store"],
    &["error"],
    &["access", "config"],
    &["audit"],
    &["connector", "keys", "token", "waiters"],
    &["sign_in"],
    &["app"],
    &["account", "client", "password", "policy", "sync_group"],
    &["grant", "identity"],
    &["source"],
    &["bootstrap", "jobs"],
    &["http"],
    &["ops"],
    &["testing"],
];

/// Words, and the only places under `src` in which they may appear.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("axum::", &["http"]),
    ("Path<", &["http/api/path.rs"]),
    ("axum::extract::Path", &["http/api/path.rs"]),
    ("rusqlite", &["store", "model/column", "model/time.rs"]),
    ("tokio_postgres", &["store", "model/column", "model/time.rs"]),
    (".expose()", &["connector/built_in.rs"]),
    ("unsafe", &[]),
    ("SELECT ", &["store"]),
    ("INSERT INTO", &["store"]),
];

#[test]
fn imports_point_downwards() {
    let mut modules = BTreeSet::new();
    for (path, code) in sources() {
        let Some(from) = top_module(&path) else { continue };
        let wrong: Vec<_> =
            imports(&code).into_iter().filter(|to| !may_import(&from, to)).collect();
        assert!(wrong.is_empty(), "{} imports from above: {wrong:?}", path.display());
        modules.insert(from);
    }
    let listed: BTreeSet<_> =
        FLOORS.iter().flat_map(|floor| floor.iter().map(|name| (*name).to_owned())).collect();
    assert_eq!(modules, listed, "the table of floors and the modules differ");
}

#[test]
fn an_import_from_above_is_found() {
    let found = imports("use crate::{Error, http::{api, serve}, store as other};");
    assert_eq!(found, BTreeSet::from(["error".into(), "http".into(), "store".into()]));
    let found = imports("fn f() -> crate::App { let x: crate::jobs::Job = y; z!(x) }");
    assert_eq!(found, BTreeSet::from(["app".into(), "jobs".into()]));
    assert!(imports("#[cfg(test)] mod tests { use crate::http::api; }").is_empty());
    assert!(!may_import("store", "http") && !may_import("account", "client"));
    assert!(may_import("http", "store") && may_import("store", "store"));
}

#[test]
fn words_stay_where_they_belong() {
    for (path, code) in sources() {
        let found = misplaced(&path, &code);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn a_misplaced_word_is_found() {
    assert_eq!(misplaced(Path::new("password/info.rs"), "let x = password.expose();\n").len(), 1);
    assert_eq!(misplaced(Path::new("password/info.rs"), "// .expose() in a comment\n").len(), 0);
}

/// Every file under `src`: its path relative to `src`, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut waiting, mut files) = (vec![src.clone()], Vec::new());
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let at = path.strip_prefix(&src).unwrap().to_owned();
            files.push((at, fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(files.len() > 100);
    files
}

/// The top module that a file belongs to; `None` for `lib.rs` and `main.rs`.
fn top_module(path: &Path) -> Option<String> {
    let first = path.iter().next()?.to_str()?;
    let name = first.trim_end_matches(".rs");
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    from == to || floor_of(to) < floor_of(from)
}

/// The top modules that a file imports from or names by `crate::…`, except in its tests.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = Imports::default();
    found.visit_file(&syn::parse_file(code).unwrap());
    found.0
}

#[derive(Default)]
struct Imports(BTreeSet<String>);

impl Imports {
    /// Adds a module. The crate root re-exports two types, which stand for their modules.
    fn add(&mut self, name: &str) {
        let module = match name {
            "App" => "app",
            "Error" => "error",
            other => other,
        };
        self.0.insert(module.to_owned());
    }

    fn add_tree(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.add(&path.ident.to_string()),
            UseTree::Name(name) => self.add(&name.ident.to_string()),
            UseTree::Rename(name) => self.add(&name.ident.to_string()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree)),
            UseTree::Glob(_) => panic!("everything of the crate is imported"),
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.add_tree(&path.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
        };
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.first().is_some_and(|first| first.ident == "crate")
            && let Some(second) = path.segments.get(1)
        {
            self.add(&second.ident.to_string());
        }
        visit::visit_path(self, path);
    }
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
