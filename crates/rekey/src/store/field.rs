//! The fields that lists can be filtered and sorted by.

use std::borrow::Cow;

use crate::model::time::Micros;

/// A field that a list can be filtered or sorted by.
pub struct Field {
    /// The name in the contract.
    pub name: &'static str,
    /// The column, or an SQL expression over the columns.
    pub column: Cow<'static, str>,
    /// The type of its values.
    pub kind: Kind,
    /// The operators that the contract allows, separated by blanks.
    pub operators: &'static str,
    /// Whether a list can be sorted by it.
    pub sortable: bool,
    /// An indexed column that holds the [`prefix`] of each value.
    pub prefix: Option<&'static str>,
}

/// The column of a field for which no row has a value.
pub(super) const NOTHING: &str = "CAST(NULL AS text)";

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// An identifier: compared exactly.
    Id,
    /// A JSON array of texts.
    List,
    /// A text member of a JSON object, named as the field.
    Member,
    /// A text: compared without regard to case.
    Text,
    /// Microseconds; in a filter a date, a time or epoch milliseconds.
    Time,
}

impl Field {
    /// A field without operators, that a list cannot be sorted by.
    pub fn new(name: &'static str, column: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        Self { name, column: column.into(), kind, operators: "", sortable: false, prefix: None }
    }

    /// Allows these operators in filters.
    #[must_use]
    pub fn filter(mut self, operators: &'static str) -> Self {
        self.operators = operators;
        self
    }

    /// Names the indexed column that holds the [`prefix`] of each value.
    #[must_use]
    pub fn prefix(mut self, column: &'static str) -> Self {
        self.prefix = Some(column);
        self
    }

    /// The SQL expression for comparing and sorting.
    pub(super) fn compared(&self) -> Cow<'static, str> {
        match self.kind {
            Kind::Text => format!("lower({})", self.column).into(),
            Kind::Boolean | Kind::Id | Kind::List | Kind::Member | Kind::Time => {
                self.column.clone()
            }
        }
    }

    /// Allows sorting by the field.
    #[must_use]
    pub fn sort(mut self) -> Self {
        self.sortable = true;
        self
    }
}

/// The indexed length of a text, in characters: PostgreSQL's index entries are limited in size, and
/// a connected system chooses the names of its accounts.
const PREFIX: usize = 64;

/// The beginning of a text in lower case, as the index holds it.
pub(super) fn prefix(text: &str) -> String {
    text.to_lowercase().chars().take(PREFIX).collect()
}

/// The smallest text that is greater than all texts that begin with `prefix`; none if there is
/// none.
pub(super) fn after(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let mut greater = u32::from(last) + 1..=u32::from(char::MAX);
        if let Some(next) = greater.find_map(char::from_u32) {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

/// Parses a time, a date, a month, a year, or epoch milliseconds.
pub(super) fn time(text: &str) -> Option<Micros> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Micros(at.as_microsecond()));
    }
    if text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000).map(Micros);
    }
    let day = match text.matches('-').count() {
        0 if text.len() == 4 => format!("{text}-01-01T00:00:00Z"),
        1 => format!("{text}-01T00:00:00Z"),
        2 if !text.contains('T') => format!("{text}T00:00:00Z"),
        _ => format!("{text}Z"),
    };
    day.parse::<jiff::Timestamp>().ok().map(|at| Micros(at.as_microsecond()))
}

/// The span of the year, month, day, second or millisecond that `text` names: from the first
/// instant to the first one after it.
pub(super) fn span(text: &str) -> Option<(Micros, Micros)> {
    const SECOND: i64 = 1_000_000;
    let from = time(text)?;
    let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<u32>().ok();
    let to = match text.len() {
        4 => time(&format!("{:04}", number(0..4)? + 1))?,
        7 if text.contains('-') => match (number(0..4)?, number(5..7)?) {
            (year, 12) => time(&format!("{:04}-01", year + 1))?,
            (year, month) => time(&format!("{year:04}-{:02}", month + 1))?,
        },
        10 if text.contains('-') => Micros(from.0 + 24 * 3600 * SECOND),
        _ if text.contains('T') && !text.contains('.') => Micros(from.0 + SECOND),
        _ => Micros(from.0 + SECOND / 1000),
    };
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for text in ["2018", "2018-01", "2018-01-01", "2018-01-01T00:00:00", "1514764800000"] {
            assert_eq!(time(text), Some(Micros(1_514_764_800_000_000)), "{text}");
        }
        assert_eq!(time("2018-01-01T00:00:00.000Z"), Some(Micros(1_514_764_800_000_000)));
        assert_eq!(time("x"), None);
    }

    #[test]
    fn a_prefix_is_followed_by_all_that_begin_with_it() {
        assert_eq!(prefix("ÄNNA Smith"), "änna smith");
        assert_eq!(prefix(&"A".repeat(100)), "a".repeat(64));
        assert_eq!(after("ab").as_deref(), Some("ac"));
        assert_eq!(after("a\u{d7ff}").as_deref(), Some("a\u{e000}"), "surrogates are no letters");
        assert_eq!(after("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after("\u{10ffff}"), None);
        assert_eq!(after(""), None);
    }

    #[test]
    fn a_beginning_of_a_time_is_a_span() {
        for (text, from, to) in [
            ("2024", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("2024-12", "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("2024-01", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2024-02-29T01:02:03", "2024-02-29T01:02:03Z", "2024-02-29T01:02:04Z"),
            ("2024-02-29T01:02:03.004Z", "2024-02-29T01:02:03.004Z", "2024-02-29T01:02:03.005Z"),
        ] {
            assert_eq!(span(text), Some((time(from).unwrap(), time(to).unwrap())), "{text}");
        }
        assert_eq!(span("x"), None);
    }
}
