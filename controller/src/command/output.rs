//! What commands print: tables for people, plain columns for pipes, JSON for programs.
//!
//! Invariant: standard output holds the answer and nothing else; a reader that went away (`| head`) is no error.

use crate::dashboard::clean;
use anyhow::{Context, Result};
use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width, presets,
};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};
use unicode_width::UnicodeWidthStr;

/// Blanks in front of and behind each cell.
const PADDING: (u16, u16) = (0, 2);

/// Columns that a cell of a paragraph has at least, however narrow the terminal is.
const LEAST_ROOM: usize = 10;
/// One line under the headings.
const LINED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// Prints a text as it stands.
pub(super) fn text(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

/// Prints bytes as they stand.
pub(super) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints a value as one line of JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    text(&json_line(value)?)
}

/// A value as one line of JSON.
pub(super) fn json_line<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
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
    text(&table_text(headings, rows))
}

/// The same as a text.
pub(super) fn table_text(headings: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let style = if io::stdout().is_terminal() { Style::Terminal(size().0) } else { Style::Plain };
    render(headings, rows, style)
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
    let numeric: Vec<bool> =
        rows.first().into_iter().flatten().map(|cell| matches!(cell, Cell::Number(_))).collect();
    let mut lines: Vec<Vec<String>> = vec![headings.iter().map(|heading| (*heading).to_owned()).collect()];
    lines.extend(rows.into_iter().map(|row| row.into_iter().map(|cell| cell.shown(style)).collect()));
    let least = least_widths(&lines);
    let mut lines = lines.into_iter();
    let headings = lines.next().unwrap_or_default();
    let mut table = Table::new();
    match style {
        Style::Terminal(width) if least.iter().sum::<usize>() > usize::from(width) => {
            return records(&headings, lines, usize::from(width));
        }
        Style::Terminal(width) => {
            table.load_style(LINED).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        Style::Plain => {
            table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(headings).add_rows(lines);
    for ((column, numeric), least) in table.column_iter_mut().zip(numeric).zip(least) {
        column.set_padding(PADDING);
        if numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let (Style::Terminal(_), Ok(least)) = (style, u16::try_from(least)) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Where not every column has room for its words, a row is a paragraph.
fn records(headings: &[String], rows: impl Iterator<Item = Vec<String>>, width: usize) -> String {
    let widest = headings.iter().map(|heading| heading.width()).max().unwrap_or_default();
    let room = width.saturating_sub(widest + 2).max(LEAST_ROOM);
    let field = |(heading, cell): (&String, String)| -> String {
        let lines = folded(&cell, room).into_iter().enumerate();
        lines.map(|(at, line)| format!("{:<widest$}  {line}\n", if at == 0 { heading } else { "" })).collect()
    };
    let paragraphs: Vec<String> = rows
        .map(|row| headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty()).map(field).collect())
        .collect();
    paragraphs.join("\n")
}

/// A text behind its label, folded under itself on a terminal and in one line elsewhere.
pub(super) fn field(label: &str, text: &str) -> String {
    let indent = label.width();
    let room = match io::stdout().is_terminal() {
        true => usize::from(size().0).saturating_sub(indent).max(LEAST_ROOM),
        false => usize::MAX,
    };
    let lines = folded(&clean(&text.replace(char::is_whitespace, " ")), room);
    let line = |(at, line): (usize, &String)| match at {
        0 => format!("{label}{line}\n"),
        _ => format!("{:indent$}{line}\n", ""),
    };
    lines.iter().enumerate().map(line).collect()
}

/// A text in lines of at most `width` columns; a word that is longer stays whole, for it may be an id to be copied.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The width of each column that leaves its words whole.
fn least_widths(lines: &[Vec<String>]) -> Vec<usize> {
    let longest = |cell: &String| cell.split(' ').map(|word| word.width()).max().unwrap_or_default();
    let mut least = Vec::new();
    for line in lines {
        for (index, cell) in line.iter().enumerate() {
            let width = longest(cell) + usize::from(PADDING.0 + PADDING.1);
            match least.get_mut(index) {
                None => least.push(width),
                Some(known) => *known = width.max(*known),
            }
        }
    }
    least
}

impl Cell {
    fn shown(self, style: Style) -> String {
        match (self, style) {
            // An empty cell would shift the columns of whoever cuts at white space.
            (Self::Text(text), Style::Plain) if text.is_empty() => "-".to_owned(),
            // Models and causes come from elsewhere: nothing of them moves a cursor or makes a row.
            (Self::Text(text), _) => clean(&text.replace(char::is_whitespace, " ")),
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

/// The same for programs, with its milliseconds.
pub(super) fn precise_instant(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => milliseconds.to_string(),
    }
}

/// Columns and rows of the terminal.
pub(super) fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
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
        assert_eq!(drawn, "BOTTLE      TOTAL\n───────────────────\nci      1,234,567\n                5\n");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let cells = || {
            let run = "01a1f97d-c951-77cd-a25c-f881da572eee";
            vec![vec![
                Cell::from(run),
                Cell::from("a cause of many words ".repeat(5)),
                Cell::from(1_234_567_u64),
            ]]
        };
        for width in [60, 90, 200] {
            let drawn = render(&["RUN", "CAUSE", "TOKENS"], cells(), Style::Terminal(width));
            assert!(drawn.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}\n{drawn}");
            assert!(
                drawn.contains("1,234,567") && drawn.contains("01a1f97d-c951-77cd-a25c-f881da572eee"),
                "{drawn}"
            );
        }
        let narrow = render(&["RUN", "CAUSE", "TOKENS"], cells(), Style::Terminal(40));
        assert!(
            narrow.starts_with("RUN     01a1f97d") && narrow.ends_with("TOKENS  1,234,567\n"),
            "{narrow}"
        );
        // An id has to be copied whole; everything else is folded.
        assert!(narrow.lines().skip(1).all(|line| line.width() <= 40), "{narrow}");
    }

    #[test]
    fn no_text_makes_a_row_or_moves_the_cursor() {
        let cells = || vec![vec![Cell::from("a\nci  9\u{1b}[2J\u{202e}b"), Cell::from(1_u64)]];
        for style in [Style::Plain, Style::Terminal(80), Style::Terminal(8)] {
            let drawn = render(&["MODEL", "TOKENS"], cells(), style);
            assert!(!drawn.contains('\u{1b}') && !drawn.contains('\u{202e}'), "{drawn:?}");
            assert!(!drawn.contains("\nci  9"), "{drawn:?}");
        }
    }

    #[test]
    fn an_instant_is_readable() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
    }
}
