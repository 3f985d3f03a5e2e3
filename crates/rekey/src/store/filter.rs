//! The contract's filter expressions (docs/contract.md#collections), parsed from text to a tree.
//!
//! ```text
//! or     = and { "or" and }
//! and    = not { "and" not }
//! not    = "not" not | "(" or ")" | test
//! test   = "pr" field | field "pr" | field "isnull" | "isnull" field
//!        | field OP value | field ("in" | "ca") "(" value { "," value } ")"
//! ```
//!
//! Operators are in lower case. A value is quoted, with the escapes `\"` and `\\`, or a bare word:
//! a number, `true`, a time.

/// A parsed filter expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// True if all parts are true.
    And(Vec<Self>),
    /// True if the part is false.
    Not(Box<Self>),
    /// True if any part is true.
    Or(Vec<Self>),
    /// A comparison of one field.
    Test {
        /// The name of a field, such as `owner.id`.
        field: String,
        /// The operator of the comparison.
        operator: Operator,
        /// The values to compare with; none for `pr` and `isnull`.
        values: Vec<String>,
    },
}

/// An operator of the contract's filter language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Operator {
    Ca,
    Co,
    Eq,
    Ge,
    Gt,
    In,
    Isnull,
    Le,
    Lt,
    Ne,
    Pr,
    Sw,
}

impl Operator {
    /// The operator as written in an expression.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Co => "co",
            Self::Eq => "eq",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::In => "in",
            Self::Isnull => "isnull",
            Self::Le => "le",
            Self::Lt => "lt",
            Self::Ne => "ne",
            Self::Pr => "pr",
            Self::Sw => "sw",
        }
    }

    fn of(word: &str) -> Option<Self> {
        use Operator::{Ca, Co, Eq, Ge, Gt, In, Isnull, Le, Lt, Ne, Pr, Sw};
        [Ca, Co, Eq, Ge, Gt, In, Isnull, Le, Lt, Ne, Pr, Sw]
            .into_iter()
            .find(|operator| operator.as_str() == word)
    }
}

/// The maximum length of an expression, in bytes.
const LONGEST: usize = 8 * 1024;
/// The maximum nesting depth.
const DEEPEST: usize = 32;
/// The maximum number of tests and values.
const MOST: usize = 500;

/// Parses an expression. The error is a sentence for the caller that names the offending part.
pub fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let mut tokens = tokens(text)?;
    if tokens.len() > MOST * 4 {
        return Err(format!("it has more than {MOST} parts"));
    }
    tokens.reverse();
    let mut parser = Parser { left: tokens, depth: 0 };
    let expression = parser.or()?;
    match parser.left.pop() {
        None => Ok(expression),
        Some(token) => Err(format!("{} is one too many", token.in_words())),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Close,
    Comma,
    Open,
    Quoted(String),
    Word(String),
}

impl Token {
    fn in_words(&self) -> String {
        match self {
            Self::Close => "`)`".into(),
            Self::Comma => "`,`".into(),
            Self::Open => "`(`".into(),
            Self::Quoted(text) | Self::Word(text) => format!("`{text}`"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            blank if blank.is_whitespace() => {}
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '"' => tokens.push(Token::Quoted(quoted(&mut chars)?)),
            first => {
                let mut word = String::from(first);
                while let Some(next) = chars
                    .next_if(|next| !next.is_whitespace() && !matches!(next, '(' | ')' | ',' | '"'))
                {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn quoted(chars: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(next) = chars.next() {
        match next {
            '"' => return Ok(text),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err("a text begins with `\"` and does not end".into())
}

/// A parser over the remaining tokens, in reverse order: the next token is the last one.
struct Parser {
    left: Vec<Token>,
    depth: usize,
}

impl Parser {
    fn or(&mut self) -> Result<Expression, String> {
        let mut any = vec![self.and()?];
        while self.takes("or") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Or(any) })
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.not()?];
        while self.takes("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST} levels"));
        }
        let expression = if self.takes("not") {
            Expression::Not(Box::new(self.not()?))
        } else if self.left.last() == Some(&Token::Open) {
            self.left.pop();
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, String> {
        let first = self.word("the name of a field")?;
        if let Some(operator @ (Operator::Pr | Operator::Isnull)) = Operator::of(&first)
            && matches!(self.left.last(), Some(Token::Word(_)))
        {
            let field = self.word("the name of a field")?;
            return Ok(Expression::Test { field, operator, values: Vec::new() });
        }
        let word = self.word(&format!("an operator after `{first}`"))?;
        let operator = Operator::of(&word).ok_or_else(|| {
            format!("`{word}` is no operator: use eq, ne, gt, ge, lt, le, co, sw, ca, in, pr or isnull, in lower case")
        })?;
        let values = match operator {
            Operator::Pr | Operator::Isnull => Vec::new(),
            Operator::Ca | Operator::In => self.list()?,
            Operator::Co
            | Operator::Eq
            | Operator::Ge
            | Operator::Gt
            | Operator::Le
            | Operator::Lt
            | Operator::Ne
            | Operator::Sw => vec![self.value()?],
        };
        Ok(Expression::Test { field: first, operator, values })
    }

    /// Parses a list of values in parentheses, or a single value without them.
    fn list(&mut self) -> Result<Vec<String>, String> {
        if self.left.last() != Some(&Token::Open) {
            return Ok(vec![self.value()?]);
        }
        self.left.pop();
        let mut values = vec![self.value()?];
        while self.left.last() == Some(&Token::Comma) {
            self.left.pop();
            values.push(self.value()?);
        }
        self.expect(&Token::Close)?;
        Ok(values)
    }

    fn value(&mut self) -> Result<String, String> {
        match self.left.pop() {
            Some(Token::Quoted(text) | Token::Word(text)) => Ok(text),
            Some(other) => Err(format!("a value is missing before {}", other.in_words())),
            None => Err("a value is missing at the end".into()),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, String> {
        match self.left.pop() {
            Some(Token::Word(word)) => Ok(word),
            Some(other) => Err(format!("{} stands where {what} is due", other.in_words())),
            None => Err(format!("{what} is missing at the end")),
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = matches!(self.left.last(), Some(Token::Word(next)) if next == word);
        if there {
            self.left.pop();
        }
        there
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        match self.left.pop() {
            Some(next) if next == *token => Ok(()),
            Some(next) => {
                Err(format!("{} stands where {} is due", next.in_words(), token.in_words()))
            }
            None => Err(format!("{} is missing at the end", token.in_words())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn test(field: &str, operator: Operator, values: &[&str]) -> Expression {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Expression::Test { field: field.into(), operator, values }
    }

    #[test]
    fn every_way_to_write_it_is_read() {
        use Operator::{Ca, Eq, Gt, In, Isnull, Pr};
        for (text, expected) in [
            (r#"name eq "My-AD""#, test("name", Eq, &["My-AD"])),
            (r#"owner.id eq"x""#, test("owner.id", Eq, &["x"])),
            (r#"name eq "a \"b\" \\ c""#, test("name", Eq, &[r#"a "b" \ c"#])),
            ("startDate gt 2018", test("startDate", Gt, &["2018"])),
            (r#"id in ("a","b")"#, test("id", In, &["a", "b"])),
            (
                r#"features ca ("PASSWORD", "ENABLE")"#,
                test("features", Ca, &["PASSWORD", "ENABLE"]),
            ),
            ("lastUsed isnull", test("lastUsed", Isnull, &[])),
            ("pr accountRequestInfo", test("accountRequestInfo", Pr, &[])),
            ("not a isnull", Expression::Not(Box::new(test("a", Isnull, &[])))),
            ("not (a isnull)", Expression::Not(Box::new(test("a", Isnull, &[])))),
            (
                "a eq 1 or b eq 2 and not c eq 3",
                Expression::Or(vec![
                    test("a", Eq, &["1"]),
                    Expression::And(vec![
                        test("b", Eq, &["2"]),
                        Expression::Not(Box::new(test("c", Eq, &["3"]))),
                    ]),
                ]),
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("name EQ \"x\"", "`EQ` is no operator"),
            ("name eq \"x", "does not end"),
            ("name eq", "a value is missing"),
            ("(name eq 1", "`)` is missing"),
            ("name eq 1 2", "one too many"),
            ("", "the name of a field"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
        assert!(parse(&"not ".repeat(100)).unwrap_err().contains("nested"));
        assert!(parse(&"(".repeat(8000)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_near_miss_makes_it_panic(text in "([a-z.]{1,4}| |\"|\\\\|\\(|\\)|,|eq|not|and|or|in|pr|isnull){0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_text_can_be_quoted(text in "\\PC*") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(parse(&format!("a eq \"{quoted}\"")), Ok(test("a", Operator::Eq, &[&text])));
        }
    }
}
