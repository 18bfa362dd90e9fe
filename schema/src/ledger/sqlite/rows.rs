//! Between Rust's types and SQLite's: 64-bit signed integers that saturate, names that are checked again when read.

use crate::{Policy, Scope, ScopeKind};
use rusqlite::Row;
use rusqlite::types::Type;
use std::str::FromStr;

/// The most tokens that one row can state. Beyond it a provider's number is absurd; the bound lets many such rows be
/// added up without overflow, and keeps every number exact in JSON and in floating point.
const MOST: u64 = 1 << 53;

/// Tokens as SQLite keeps them.
pub(super) fn tokens(amount: u64) -> i64 {
    amount.min(MOST).cast_signed()
}

/// Tokens as read; a negative number cannot have been written.
pub(super) fn amount(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// A limit as SQLite keeps it: unlike a count it may be "none at all".
pub(super) fn limit(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// A text column of a type that parses.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    parse(row, column, &row.get::<_, String>(column)?)
}

/// The same for a column that may be null.
pub(super) fn parsed_option<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    row.get::<_, Option<String>>(column)?.map(|text| parse(row, column, &text)).transpose()
}

/// One value out of a text that was read from `column`.
pub(super) fn parse<T>(row: &Row<'_>, column: &str, text: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let index = row.as_ref().column_index(column)?;
    text.parse()
        .map_err(|error: T::Err| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into()))
}

/// The columns `scope` and `scope_key`.
pub(super) fn scope(row: &Row<'_>) -> rusqlite::Result<Scope> {
    Ok(Scope::new(parsed::<ScopeKind>(row, "scope")?, row.get::<_, String>("scope_key")?))
}

/// The column `policy`.
pub(super) fn policy(row: &Row<'_>) -> rusqlite::Result<Policy> {
    parsed(row, "policy")
}
