//! Usage summed by columns.

use super::output::{self, Cell};
use crate::cli::UsageBy;
use anyhow::Result;
use hudson_schema::ledger::{SharedLedger, UsageColumn, UsageQuery, UsageSum};
use serde_json::{Map, Value};

/// The sums; none without a ledger.
pub(super) async fn read(ledger: Option<&SharedLedger>, query: UsageQuery) -> Result<Vec<UsageSum>> {
    match ledger {
        Some(ledger) => Ok(ledger.usage_sum(query).await?),
        None => Ok(Vec::new()),
    }
}

/// What to group by, each once: twice by the same says nothing more, and JSON has each key once.
pub(super) fn columns(by: &[UsageBy]) -> Vec<UsageColumn> {
    distinct(by).into_iter().map(|by| column(by).1).collect()
}

/// For people.
pub(super) fn table(by: &[UsageBy], sums: Vec<UsageSum>) -> String {
    let mut headings: Vec<String> = names(by).map(str::to_uppercase).collect();
    headings.extend(
        ["REQUESTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "TOTAL", "CHARGED", "NOT EXACT"]
            .map(str::to_owned),
    );
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let cells = sums.into_iter().map(|sum| {
        let usage = sum.usage;
        let numbers = [
            sum.requests,
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write,
            usage.total,
            sum.charged,
            sum.inexact,
        ];
        sum.group.into_iter().map(Cell::from).chain(numbers.map(Cell::from)).collect()
    });
    output::table_text(&headings, cells.collect())
}

/// For spreadsheets, under the names that JSON has.
pub(super) fn csv(by: &[UsageBy], sums: Vec<UsageSum>) -> Result<()> {
    let headings: Vec<&str> = names(by).chain(numbers(&UsageSum::default()).map(|(name, _)| name)).collect();
    let cells = sums.into_iter().map(|sum| {
        let numbers = numbers(&sum).map(|(_, number)| Cell::from(number));
        sum.group.into_iter().map(Cell::from).chain(numbers).collect()
    });
    super::csv::print(&headings, cells)
}

/// For programs.
pub(super) fn objects(by: &[UsageBy], sums: &[UsageSum]) -> Vec<Value> {
    sums.iter().map(|sum| object(by, sum)).collect()
}

fn object(by: &[UsageBy], sum: &UsageSum) -> Value {
    let mut object = Map::new();
    for (name, value) in names(by).zip(&sum.group) {
        let value = if value.is_empty() { Value::Null } else { Value::from(value.as_str()) };
        object.insert(name.to_owned(), value);
    }
    object.extend(numbers(sum).map(|(name, number)| (name.to_owned(), Value::from(number))));
    Value::Object(object)
}

fn numbers(sum: &UsageSum) -> [(&'static str, u64); 9] {
    let usage = sum.usage;
    [
        ("requests", sum.requests),
        ("inexact", sum.inexact),
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
        ("total", usage.total),
        ("charged", sum.charged),
    ]
}

fn names(by: &[UsageBy]) -> impl Iterator<Item = &'static str> {
    distinct(by).into_iter().map(|by| column(by).0)
}

fn distinct(by: &[UsageBy]) -> Vec<UsageBy> {
    let mut kept = Vec::new();
    for by in by {
        if !kept.contains(by) {
            kept.push(*by);
        }
    }
    kept
}

fn column(by: UsageBy) -> (&'static str, UsageColumn) {
    match by {
        UsageBy::Agent => ("agent", UsageColumn::Agent),
        UsageBy::Bottle => ("bottle", UsageColumn::Bottle),
        UsageBy::Day => ("day", UsageColumn::Day),
        UsageBy::Host => ("host", UsageColumn::Host),
        UsageBy::Model => ("model", UsageColumn::Model),
        UsageBy::Provider => ("provider", UsageColumn::Provider),
        UsageBy::Quality => ("quality", UsageColumn::Quality),
        UsageBy::Run => ("run", UsageColumn::Run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::Usage;

    #[test]
    fn a_sum_names_its_group() {
        let sum = UsageSum {
            group: vec!["ci".to_owned(), String::new()],
            requests: 2,
            inexact: 1,
            usage: Usage { input: 3, output: 4, total: 7, ..Usage::default() },
            charged: 8,
        };
        let object = object(&[UsageBy::Bottle, UsageBy::Agent], &sum);
        assert_eq!(object.get("bottle").unwrap(), "ci");
        assert!(object.get("agent").unwrap().is_null());
        assert_eq!(object.get("total").unwrap(), 7);
        assert_eq!(distinct(&[UsageBy::Day, UsageBy::Run, UsageBy::Day]), [UsageBy::Day, UsageBy::Run]);
    }
}
