//! The published API description, which the schemathesis suite uses, has exactly the routes of the
//! server.

use std::{collections::BTreeSet, fs, path::Path};

use rekey::http::api;
use serde_json::Value;

#[test]
fn the_description_has_every_route() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contract/isc-openapi.json");
    let description: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let path = path.replace("/v1", "").replace("{sourceId}", "{id}");
        for method in operations.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes: BTreeSet<_> =
        api::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let missing: Vec<_> = routes.difference(&described).collect();
    assert!(missing.is_empty(), "add to verify/schemathesis/reduce.py, and run it: {missing:?}");
    let gone: Vec<_> = described.difference(&routes).collect();
    assert!(gone.is_empty(), "take out of verify/schemathesis/reduce.py: {gone:?}");
}
