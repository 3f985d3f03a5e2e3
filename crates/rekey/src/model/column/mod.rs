//! The conversion of values to columns and of rows to values, for SQLite and PostgreSQL.

mod error;
mod row;
mod value;

pub(crate) use self::{
    error::in_words,
    row::{One, from_row, in_name, part_of},
    value::{column_value, number_value, text_value},
};
pub use self::{
    error::{Error, Fail, Result},
    row::{FromRow, Param, Row},
    value::Json,
};
