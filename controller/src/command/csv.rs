//! Comma-separated values (RFC 4180), for spreadsheets.
//!
//! Invariant: no text makes a spreadsheet compute. Models and hosts are named by agents and their upstreams; a cell that
//! begins like a formula has an apostrophe put in front, which a spreadsheet takes for "this is text".

use super::output::{self, Cell};
use anyhow::{Context, Result};

/// Prints rows under their headings.
pub(super) fn print(headings: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> Result<()> {
    output::bytes(&written(headings, rows)?)
}

fn written(headings: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(headings)?;
    for row in rows {
        writer.write_record(row.into_iter().map(|cell| match cell {
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => defused(text),
        }))?;
    }
    writer.into_inner().context("writing comma-separated values")
}

/// What spreadsheets take for the beginning of a formula, its full-width forms and what they skip in front included.
fn defused(text: String) -> String {
    let formula = |symbol: char| matches!(symbol, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let skipped = |symbol: char| symbol.is_whitespace() || symbol.is_control();
    let first = text.chars().find(|symbol| !skipped(*symbol));
    if first.is_some_and(formula) || text.starts_with(skipped) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_were() {
        let rows = vec![
            vec!["a,b".into(), 7_u64.into()],
            vec!["say \"hi\"\r\nthere".into(), 0_u64.into()],
            vec!["".into(), u64::MAX.into()],
        ];
        let text = written(&["model", "total"], rows.into_iter()).unwrap();
        assert!(text.starts_with(b"model,total\r\n\"a,b\",7\r\n"), "{}", String::from_utf8_lossy(&text));
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let read: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        let most = u64::MAX.to_string();
        assert_eq!(read, [["a,b", "7"], ["say \"hi\"\r\nthere", "0"], ["", most.as_str()]]);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", "\r=1"] {
            assert_eq!(defused(formula.to_owned()), format!("'{formula}"));
        }
        for text in ["claude-4", "a=b", "", "gpt-5@x", "'=1"] {
            assert_eq!(defused(text.to_owned()), text);
        }
    }
}
