//! Conversion of Rust values to and from column values of both databases.

use bytes::BytesMut;
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::types::{IsNull, Type, to_sql_checked};

/// A value stored as JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> rusqlite::ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> rusqlite::types::FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|e| FromSqlError::Other(e.into()))
    }
}

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl<T: Serialize + std::fmt::Debug> tokio_postgres::types::ToSql for Json<T> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        serde_json::to_string(&self.0)?.to_sql(kind, out)
    }
    fn accepts(kind: &Type) -> bool {
        <String as tokio_postgres::types::ToSql>::accepts(kind)
    }
    to_sql_checked!();
}

impl<'a, T: DeserializeOwned> tokio_postgres::types::FromSql<'a> for Json<T> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        let text = <&str as tokio_postgres::types::FromSql>::from_sql(kind, raw)?;
        Ok(Self(serde_json::from_str(text)?))
    }
    fn accepts(kind: &Type) -> bool {
        <&str as tokio_postgres::types::FromSql>::accepts(kind)
    }
}

/// Implements TEXT columns for types with `as_str()` and `parse(&str) -> Option<Self>`.
macro_rules! text_value {
    ($($name:ty),* $(,)?) => {
        $($crate::model::column::column_value!($name, &str, as_str, as_str, parse);)*
    };
}
pub(crate) use text_value;

/// Implements BIGINT columns for types with `number()` and `from_number(i64) -> Option<Self>`. An
/// unknown number means a corrupted store: reading it is an error.
macro_rules! number_value {
    ($($name:ty),* $(,)?) => {
        $($crate::model::column::column_value!($name, i64, number, as_i64, from_number);)*
    };
}
pub(crate) use number_value;

/// Implements a column type for `$name`: `$write` returns the stored value, `$parse` reads it.
macro_rules! column_value {
    ($name:ty, $column:ty, $write:ident, $read:ident, $parse:ident) => {
        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.$write().into())
            }
        }
        impl rusqlite::types::FromSql for $name {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                let raw = value.$read()?;
                Self::$parse(raw).ok_or_else(|| {
                    rusqlite::types::FromSqlError::Other(format!("`{raw}` cannot be read").into())
                })
            }
        }
        impl tokio_postgres::types::ToSql for $name {
            fn to_sql(
                &self,
                kind: &tokio_postgres::types::Type,
                out: &mut bytes::BytesMut,
            ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>>
            {
                self.$write().to_sql(kind, out)
            }
            fn accepts(kind: &tokio_postgres::types::Type) -> bool {
                <$column as tokio_postgres::types::ToSql>::accepts(kind)
            }
            tokio_postgres::types::to_sql_checked!();
        }
        impl<'a> tokio_postgres::types::FromSql<'a> for $name {
            fn from_sql(
                kind: &tokio_postgres::types::Type,
                raw: &'a [u8],
            ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                let raw = <$column as tokio_postgres::types::FromSql>::from_sql(kind, raw)?;
                Self::$parse(raw).ok_or_else(|| format!("`{raw}` cannot be read").into())
            }
            fn accepts(kind: &tokio_postgres::types::Type) -> bool {
                <$column as tokio_postgres::types::FromSql>::accepts(kind)
            }
        }
    };
}
pub(crate) use column_value;
