//! The schemas of both databases are the same.

use std::collections::BTreeSet;

/// The columns, each with its table, kind and nullability, and the indexes, read from the schema's
/// text.
fn says(schema: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut table = String::new();
    // Statements that move rows do not define the schema.
    let moves = ["--", "UPDATE ", "DROP INDEX ", "DO ", "EXCEPTION ", "END "];
    let is_schema = |line: &&str| !moves.iter().any(|word| line.starts_with(word));
    for line in schema.lines().map(str::trim).filter(is_schema) {
        if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
            let (altered, column) =
                rest.split_once(" ADD COLUMN ").expect("only columns are added");
            let (column, rest) = column.split_once(' ').unwrap();
            found.insert(format!(
                "{altered}.{column} {} nullable={}",
                kind(rest),
                !rest.contains("NOT NULL")
            ));
        } else if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            rest.trim_end_matches(" (").clone_into(&mut table);
        } else if line.starts_with("CREATE ")
            || line.starts_with("UNIQUE")
            || line.starts_with("PRIMARY")
        {
            found.insert(format!("{table}: {line}"));
        } else if let Some((column, rest)) = line.split_once(' ').filter(|_| !line.starts_with(')'))
        {
            let nullable = !rest.contains("NOT NULL") && !rest.contains("PRIMARY KEY");
            let unique = rest.contains("UNIQUE") || rest.contains("PRIMARY KEY");
            found.insert(format!(
                "{table}.{column} {} nullable={nullable} unique={unique}",
                kind(rest)
            ));
        }
    }
    found
}

/// The kind of value that a column holds.
fn kind(rest: &str) -> &'static str {
    match rest.split([' ', ',', ';']).next().unwrap_or_default() {
        "BLOB" | "BYTEA" => "bytes",
        "INTEGER" | "BIGINT" | "BOOLEAN" => "number",
        "TEXT" => "text",
        other => panic!("a column of a kind of its own: {other}"),
    }
}

#[test]
fn both_databases_have_the_same_tables_columns_and_indexes() {
    for (sqlite, postgres) in rekey::store::schema() {
        let (sqlite, postgres) = (says(sqlite), says(postgres));
        assert!(sqlite.len() > 2);
        assert_eq!(sqlite, postgres);
    }
}

#[test]
fn a_difference_is_found() {
    let (sqlite, postgres) = rekey::store::schema().remove(0);
    let other = postgres.replace("email TEXT,", "email TEXT NOT NULL,");
    assert_ne!(postgres, other);
    assert_ne!(says(sqlite), says(&other));
}
