//! Tests of the table's own checks.

use super::table::{Cell, Table};

const SMALL: &str = "
              user  OA
GET /a/{id} s:read
    own       200   200
    other     404   200
    unknown   404   404
";

fn faults(text: &str, routes: &[&str]) -> Vec<String> {
    let routes: Vec<_> = routes.iter().map(|route| (*route).to_owned()).collect();
    Table::read(text).unwrap().faults(&routes)
}

#[test]
fn a_whole_table_has_no_fault() {
    assert!(faults(SMALL, &["GET /a/{id}"]).is_empty());
}

#[test]
fn a_route_without_cells_is_found() {
    let faults = faults(SMALL, &["GET /a/{id}", "POST /b"]);
    assert_eq!(faults, ["POST /b has no cells: say who may call it"]);
}

#[test]
fn cells_without_a_route_are_found() {
    assert_eq!(faults(SMALL, &[]), ["GET /a/{id} has cells, and is no route"]);
}

#[test]
fn a_missing_cell_is_found() {
    let broken = SMALL.replace("other     404   200", "other     404");
    assert!(Table::read(&broken).is_err());
    let broken = SMALL.replace("other     404   200", "other     404   2OO");
    assert!(Table::read(&broken).is_err());
}

#[test]
fn a_missing_row_is_found() {
    let broken = SMALL.replace("    unknown   404   404\n", "");
    assert_eq!(faults(&broken, &["GET /a/{id}"]), ["GET /a/{id} has no cells for unknown"]);
}

#[test]
fn a_table_that_tells_what_is_there_is_found() {
    let broken = SMALL.replace("other     404", "other     403");
    assert_eq!(faults(&broken, &["GET /a/{id}"]), ["GET /a/{id} tells user what is there"]);
}

#[test]
fn of_two_levels_the_better_counts() {
    let refused = Cell::Refused;
    for (one, other, both) in [
        (refused(403), refused(404), refused(404)),
        (refused(404), Cell::Allowed(200), Cell::Allowed(200)),
        (refused(403), Cell::Own, Cell::Own),
        (Cell::All, Cell::Own, Cell::All),
        (refused(403), refused(403), refused(403)),
    ] {
        assert_eq!((one.or(other), other.or(one)), (both, both));
    }
}
