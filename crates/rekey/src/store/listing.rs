//! A page of a collection: its rows, their order and their number.

use super::{
    Result, Tx,
    field::{Field, Kind, after, prefix, span, time},
    filter::{Expression, Operator, parse},
};
use crate::model::column::{FromRow, One, Param};

/// The maximum number of values in one filter: both databases limit the length of a statement.
const MOST: usize = 500;
/// The maximum number of tests in one filter: each may have to read every row.
const MOST_TESTS: usize = 20;
/// The maximum length of a value in a test, in characters: its comparison with a row cannot be
/// interrupted by the time limit.
const LONGEST_VALUE: usize = 512;
/// The maximum number of fields to sort by.
const MOST_SORTERS: usize = 8;

/// A query of a collection.
#[derive(Clone, Debug)]
pub struct Listing {
    condition: String,
    values: Vec<Bound>,
    order: String,
    limit: i64,
    offset: i64,
    count: bool,
}

/// The filters or sorters of a request are invalid. The message is for the caller.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidListing(String);

/// The parameters of a request for a collection.
#[derive(Clone, Debug)]
pub struct Asked {
    /// A filter expression.
    pub filters: Option<String>,
    /// Fields to sort by, separated by commas; a leading `-` reverses the order of a field.
    pub sorters: Option<String>,
    /// The maximum number of rows.
    pub limit: i64,
    /// The number of rows to skip.
    pub offset: i64,
    /// Whether to count all rows that match.
    pub count: bool,
}

/// The rows of a page, and the number of all rows that match, if requested.
pub type Page<T> = (Vec<T>, Option<i64>);

/// A value bound to a parameter.
#[derive(Clone, Debug)]
enum Bound {
    Boolean(bool),
    Number(i64),
    Text(String),
}

impl Bound {
    fn param(&self) -> &dyn Param {
        match self {
            Self::Boolean(value) => value,
            Self::Number(value) => value,
            Self::Text(value) => value,
        }
    }
}

impl Listing {
    /// Checks a request against the fields of the collection. Rows that compare as equal are
    /// ordered by `id`.
    pub fn new(
        fields: &[Field],
        asked: &Asked,
        default_order: &str,
    ) -> std::result::Result<Self, InvalidListing> {
        Self::read(fields, asked, default_order).map_err(InvalidListing)
    }

    fn read(
        fields: &[Field],
        asked: &Asked,
        default_order: &str,
    ) -> std::result::Result<Self, String> {
        let mut listing = Self {
            condition: "1 = 1".into(),
            values: Vec::new(),
            order: String::new(),
            limit: asked.limit,
            offset: asked.offset,
            count: asked.count,
        };
        if let Some(text) = asked.filters.as_deref().filter(|text| !text.trim().is_empty()) {
            let expression = parse(text).map_err(|why| format!("filters: {why}"))?;
            Size::of(&expression).check().map_err(|why| format!("filters: {why}"))?;
            listing.condition =
                listing.sql(fields, &expression).map_err(|why| format!("filters: {why}"))?;
        }
        let sorters = asked.sorters.as_deref().unwrap_or_default().split(',').map(str::trim);
        if sorters.clone().count() > MOST_SORTERS {
            return Err(format!("sorters: give at most {MOST_SORTERS} fields"));
        }
        for sorter in sorters {
            if !sorter.is_empty() {
                listing.sort(fields, sorter)?;
            }
        }
        if listing.order.is_empty() {
            listing.order = format!("{default_order}, ");
        }
        listing.order.push_str("id");
        Ok(listing)
    }

    /// Restricts the listing to rows with this id in `column`. The column name becomes part of the
    /// SQL text, so it must be a constant.
    #[must_use]
    pub fn only(mut self, column: &'static str, id: &str) -> Self {
        let bound = self.bind(Bound::Text(id.to_owned()));
        self.condition = format!("({}) AND {column} = {bound}", self.condition);
        self
    }

    /// Restricts the listing to rows about the sources of this owner.
    #[must_use]
    pub fn only_owned(self, owner: &str) -> Self {
        self.only("(SELECT s.owner_id FROM source s WHERE s.id = source_id)", owner)
    }

    /// Excludes the rows with this text in `column`. The column name becomes part of the SQL text,
    /// so it must be a constant.
    #[must_use]
    pub(super) fn without(mut self, column: &'static str, text: &str) -> Self {
        let bound = self.bind(Bound::Text(text.to_owned()));
        self.condition = format!("({}) AND {column} <> {bound}", self.condition);
        self
    }

    fn sort(&mut self, fields: &[Field], sorter: &str) -> std::result::Result<(), String> {
        let (name, way) = match sorter.strip_prefix('-') {
            Some(name) => (name, "DESC"),
            None => (sorter.strip_prefix('+').unwrap_or(sorter), "ASC"),
        };
        let field = fields.iter().find(|field| field.name == name && field.sortable);
        let field = field.ok_or_else(|| {
            let names = fields.iter().filter(|field| field.sortable).map(|field| field.name);
            format!("sorters: {name} is none of {}", names.collect::<Vec<_>>().join(", "))
        })?;
        self.order.extend([field.compared().as_ref(), " ", way, ", "]);
        Ok(())
    }

    fn sql(
        &mut self,
        fields: &[Field],
        expression: &Expression,
    ) -> std::result::Result<String, String> {
        match expression {
            Expression::And(all) => self.joined(fields, all, " AND "),
            Expression::Or(any) => self.joined(fields, any, " OR "),
            Expression::Not(inner) => Ok(format!("NOT ({})", self.sql(fields, inner)?)),
            Expression::Test { field, operator, values } => {
                let known = fields.iter().find(|known| {
                    known.name == field
                        && known.operators.split(' ').any(|allowed| allowed == operator.as_str())
                });
                let Some(known) = known else { return Err(unknown(fields, field, *operator)) };
                self.test(known, *operator, values)
            }
        }
    }

    fn joined(
        &mut self,
        fields: &[Field],
        parts: &[Expression],
        word: &str,
    ) -> std::result::Result<String, String> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| self.sql(fields, part))
            .collect::<std::result::Result<_, _>>()?;
        Ok(format!("({})", parts.join(word)))
    }

    fn test(
        &mut self,
        field: &Field,
        operator: Operator,
        values: &[String],
    ) -> std::result::Result<String, String> {
        let column = &field.column;
        let one = values.first().map(String::as_str).unwrap_or_default();
        Ok(match operator {
            Operator::Isnull => format!("{column} IS NULL"),
            Operator::Pr => format!("{column} IS NOT NULL"),
            Operator::In => {
                let begins = field.prefix.map(|column| {
                    let any = values.iter().map(|value| self.bind(Bound::Text(prefix(value))));
                    let any: Vec<_> = any.collect();
                    format!("{column} IN ({}) AND ", any.join(", "))
                });
                let any = values.iter().map(|value| self.value(field, value));
                let any: Vec<_> = any.collect::<std::result::Result<_, _>>()?;
                let (begins, compared) = (begins.unwrap_or_default(), field.compared());
                format!("({begins}{compared} IN ({}))", any.join(", "))
            }
            Operator::Ca => {
                let all = values.iter().map(|value| {
                    let quoted = serde_json::Value::from(value.as_str()).to_string();
                    self.like(column, &format!("%{}%", escaped(&quoted)))
                });
                format!("({})", all.collect::<Vec<_>>().join(" AND "))
            }
            Operator::Eq | Operator::Sw if field.kind == Kind::Member => {
                let quoted = serde_json::Value::from(one).to_string();
                let value = if operator == Operator::Sw {
                    quoted.strip_suffix('"').unwrap_or(&quoted)
                } else {
                    &quoted
                };
                // The pattern matches the text that serde_json writes: no blank after the colon.
                let member = format!("\"{}\":{value}", field.name);
                self.like(column, &format!("%{}%", escaped(&member)))
            }
            Operator::Sw if field.kind == Kind::Time => {
                let (from, to) = span(one).ok_or_else(|| no_time(field))?;
                let (from, to) = (self.bind(Bound::Number(from.0)), self.bind(Bound::Number(to.0)));
                format!("({column} >= {from} AND {column} < {to})")
            }
            Operator::Co => self.like(column, &format!("%{}%", escaped(one))),
            Operator::Sw => {
                let begins = field.prefix.and_then(|column| self.begins(column, &prefix(one)));
                let like = self.like(column, &format!("{}%", escaped(one)));
                begins.map_or(like.clone(), |begins| format!("({begins} AND {like})"))
            }
            Operator::Eq => {
                let begins = field.prefix.map(|column| {
                    let bound = self.bind(Bound::Text(prefix(one)));
                    format!("{column} = {bound} AND ")
                });
                format!("({}{})", begins.unwrap_or_default(), self.compare(field, "=", one)?)
            }
            Operator::Ne => {
                let differs = self.compare(field, "<>", one)?;
                format!("({differs} OR {column} IS NULL)")
            }
            Operator::Ge => self.compare(field, ">=", one)?,
            Operator::Gt => self.compare(field, ">", one)?,
            Operator::Le => self.compare(field, "<=", one)?,
            Operator::Lt => self.compare(field, "<", one)?,
        })
    }

    fn compare(
        &mut self,
        field: &Field,
        sign: &str,
        value: &str,
    ) -> std::result::Result<String, String> {
        Ok(format!("{} {sign} {}", field.compared(), self.value(field, value)?))
    }

    /// Binds a value in the form that the field's column is compared with.
    fn value(&mut self, field: &Field, value: &str) -> std::result::Result<String, String> {
        let bound = match field.kind {
            Kind::Boolean => Bound::Boolean(
                value.parse().map_err(|_| format!("{} is true or false", field.name))?,
            ),
            Kind::Id | Kind::List | Kind::Member | Kind::Text => Bound::Text(value.to_owned()),
            Kind::Time => {
                let at = time(value).ok_or_else(|| no_time(field))?;
                Bound::Number(at.0)
            }
        };
        let bound = self.bind(bound);
        Ok(if field.kind == Kind::Text { format!("lower({bound})") } else { bound })
    }

    /// An indexable range condition that holds at least for every value that begins with `prefix`.
    fn begins(&mut self, column: &str, prefix: &str) -> Option<String> {
        let after = after(prefix)?;
        let (from, to) = (self.bind(Bound::Text(prefix.to_owned())), self.bind(Bound::Text(after)));
        Some(format!("{column} >= {from} AND {column} < {to}"))
    }

    fn like(&mut self, column: &str, pattern: &str) -> String {
        let bound = self.bind(Bound::Text(pattern.to_owned()));
        format!("lower({column}) LIKE lower({bound}) ESCAPE '\\'")
    }

    fn bind(&mut self, value: Bound) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn params(&self) -> Vec<&dyn Param> {
        self.values.iter().map(Bound::param).collect()
    }
}

impl Tx<'_> {
    /// The rows of `columns FROM table` that a listing requests.
    pub(super) fn page<T: FromRow>(
        &mut self,
        columns: &str,
        table: &str,
        listing: &Listing,
    ) -> Result<Page<T>> {
        let Listing { condition, values, order, limit, offset, count } = listing;
        let (limit_at, offset_at) = (values.len() + 1, values.len() + 2);
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT ${limit_at} OFFSET ${offset_at}"
        );
        let mut params = listing.params();
        params.push(limit);
        params.push(offset);
        let rows = self.all(&sql, &params)?;
        if !count {
            return Ok((rows, None));
        }
        let sql = format!("SELECT count(*) AS value FROM {table} WHERE {condition}");
        let One(count) = self.one(&sql, &listing.params())?;
        Ok((rows, Some(count)))
    }
}

/// The size of a filter.
#[derive(Default)]
struct Size {
    /// The number of comparisons with every row.
    tests: usize,
    values: usize,
    /// The length of the longest value, in characters.
    longest: usize,
}

impl Size {
    fn of(expression: &Expression) -> Self {
        match expression {
            Expression::And(parts) | Expression::Or(parts) => {
                parts.iter().map(Self::of).fold(Self::default(), |sum, part| Self {
                    tests: sum.tests + part.tests,
                    values: sum.values + part.values,
                    longest: sum.longest.max(part.longest),
                })
            }
            Expression::Not(inner) => Self::of(inner),
            Expression::Test { operator, values, .. } => Self {
                // `ca` compares each value separately, `in` all values at once.
                tests: if *operator == Operator::Ca { values.len() } else { 1 },
                values: values.len(),
                longest: values.iter().map(|value| value.chars().count()).max().unwrap_or(0),
            },
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.tests > MOST_TESTS {
            return Err(format!(
                "there are {} tests: give at most {MOST_TESTS}, or several requests; `in` takes many values in one test",
                self.tests
            ));
        }
        if self.values > MOST {
            return Err(format!("give at most {MOST} values in all"));
        }
        if self.longest > LONGEST_VALUE {
            return Err(format!("a value is longer than {LONGEST_VALUE} characters"));
        }
        Ok(())
    }
}

fn unknown(fields: &[Field], name: &str, operator: Operator) -> String {
    let known = fields.iter().find(|field| field.name == name && !field.operators.is_empty());
    let allowed = known.map(|field| field.operators.replace(' ', ", "));
    allowed.map_or_else(
        || format!("this list cannot be filtered by `{name}`"),
        |allowed| format!("`{name}` does not take {}: use {allowed}", operator.as_str()),
    )
}

fn no_time(field: &Field) -> String {
    format!("{} is a time: write it as 2024-05-31T12:00:00.000Z", field.name)
}

/// Escapes `%` and `_`, so that they match themselves in a `LIKE` pattern.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> std::result::Result<(String, usize), String> {
        let fields = [
            Field::new("name", "name", Kind::Text).filter("eq co sw").sort(),
            Field::new("created", "created", Kind::Time).filter("gt"),
            Field::new("features", "features", Kind::List).filter("ca"),
        ];
        let asked = Asked {
            filters: Some(text.to_owned()),
            sorters: Some("-name".into()),
            limit: 1,
            offset: 0,
            count: false,
        };
        let listing = Listing::read(&fields, &asked, "name")?;
        Ok((listing.condition, listing.values.len()))
    }

    #[test]
    fn values_are_parameters() {
        let (condition, values) = sql("name eq \"x' OR 1=1\" or name co \"50%_\"").unwrap();
        assert_eq!(
            condition,
            "((lower(name) = lower($1)) OR lower(name) LIKE lower($2) ESCAPE '\\')"
        );
        assert_eq!(values, 2);
        assert_eq!(escaped("50%_\\"), "50\\%\\_\\\\");
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        assert!(sql("nome eq 1").unwrap_err().contains("`nome`"));
        assert!(sql("name gt 1").unwrap_err().contains("use eq, co, sw"));
        assert!(sql("created gt yesterday").unwrap_err().contains("is a time"));
    }
}
