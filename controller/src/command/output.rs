//! What commands print: tables for people, plain columns for pipes, JSON for programs.
//!
//! Invariant: standard output holds the answer and nothing else; a reader that went away (`| head`) is no error.

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints a text as it stands.
pub(super) fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints a value as one line of JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    text(&format!("{}\n", serde_json::to_string(value)?))
}

/// The outcome of a write: who closed the pipe has read enough.
pub(super) fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// One cell: a text, or a number that stands on the right.
pub(super) enum Cell {
    /// A text.
    Text(String),
    /// A number of tokens or things.
    Number(u64),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Prints rows under their headings, as wide as the terminal allows.
pub(super) fn table(headings: &[&str], rows: Vec<Vec<Cell>>) -> Result<()> {
    let terminal = io::stdout().is_terminal();
    text(&render(headings, rows, terminal.then(width).map(Style::Terminal).unwrap_or(Style::Plain)))
}

/// Where a table goes.
#[derive(Clone, Copy)]
enum Style {
    /// To a person, on a terminal so many columns wide.
    Terminal(u16),
    /// To a pipe: no borders, no line breaks, no separators in numbers.
    Plain,
}

fn render(headings: &[&str], rows: Vec<Vec<Cell>>, style: Style) -> String {
    let mut table = Table::new();
    match style {
        Style::Terminal(width) => {
            table
                .load_style(presets::UTF8_FULL_CONDENSED)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        Style::Plain => {
            table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>());
    let numeric: Vec<usize> = rows
        .first()
        .into_iter()
        .flat_map(|row| row.iter().enumerate())
        .filter_map(|(index, cell)| matches!(cell, Cell::Number(_)).then_some(index))
        .collect();
    for row in rows {
        table.add_row(row.into_iter().map(|cell| cell.shown(style)).collect::<Vec<_>>());
    }
    for index in numeric {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Style::Plain = style {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

impl Cell {
    fn shown(self, style: Style) -> String {
        match (self, style) {
            // An empty cell would shift the columns of whoever cuts at white space.
            (Self::Text(text), Style::Plain) if text.is_empty() => "-".to_owned(),
            (Self::Text(text), _) => text.replace(|c: char| c.is_control() && c != '\n', " "),
            (Self::Number(number), Style::Plain) => number.to_string(),
            (Self::Number(number), Style::Terminal(_)) => grouped(number),
        }
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An instant in unix milliseconds, for people.
pub(super) fn instant(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => format!("{milliseconds} ms"),
    }
}

fn width() -> u16 {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![vec!["ci".into(), 1_234_567_u64.into()], vec!["".into(), 5_u64.into()]]
    }

    #[test]
    fn numbers_are_grouped_for_people_only() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), shown);
        }
        assert_eq!(
            render(&["BOTTLE", "TOTAL"], rows(), Style::Plain),
            "BOTTLE    TOTAL\nci      1234567\n-             5\n"
        );
        let drawn = render(&["BOTTLE", "TOTAL"], rows(), Style::Terminal(60));
        assert!(drawn.contains("1,234,567") && drawn.starts_with('┌'), "{drawn}");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let wide = vec![vec![Cell::from("x y ".repeat(60)), Cell::from("z ".repeat(60))]];
        let drawn = render(&["A", "B"], wide, Style::Terminal(40));
        assert!(drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
    }

    #[test]
    fn an_instant_is_readable() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
    }
}
