//! The report as a table: for each peer the median with its least and most round, and how it compares.

use crate::case::Unit;
use crate::report::{Comparison, Report, Row};
use crate::stats::Spread;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The whole report as text.
pub(crate) fn of(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["case".to_owned(), "figure".to_owned(), "unit".to_owned()];
    for peer in &report.peers {
        header.push(format!("{peer} (min–max)"));
        if *peer != "direct" {
            header.push(format!("{peer} against direct"));
        }
    }
    table.set_header(header);
    for row in &report.rows {
        table.add_row(cells(report, row));
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\nMedians of {} rounds.\n\n{table}\n", report.machine, report.rounds)
}

fn cells(report: &Report, row: &Row) -> Vec<String> {
    let mut cells = vec![row.case.name().to_owned(), row.figure.to_owned(), unit(row.unit).to_owned()];
    let dash = || "–".to_owned();
    for peer in &report.peers {
        cells.push(row.spread(peer).map_or_else(dash, spread));
        if *peer != "direct" {
            let compared = row.comparison(peer).map(|comparison| compare(row.unit, comparison));
            cells.push(compared.unwrap_or_else(dash));
        }
    }
    cells
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Micros => "µs",
        Unit::PerSecond => "/s",
        Unit::Mib => "MiB",
    }
}

fn spread(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    format!("{} ({}–{})", number(median), number(min), number(max))
}

fn compare(unit: Unit, comparison: Comparison) -> String {
    let Comparison { added, ratio } = comparison;
    match unit {
        Unit::PerSecond => format!("× {ratio:.2}"),
        Unit::Micros | Unit::Mib => {
            let sign = if added < 0.0 { "−" } else { "+" };
            format!("{sign}{} (× {ratio:.2})", number(added.abs()))
        }
    }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_and_more_are_told_apart() {
        let against = |added, ratio| compare(Unit::Micros, Comparison { added, ratio });
        assert_eq!(against(123.4, 2.0), "+123 (× 2.00)");
        assert_eq!(against(-12.34, 0.5), "−12.3 (× 0.50)");
        assert_eq!(compare(Unit::PerSecond, Comparison { added: -9.0, ratio: 0.256 }), "× 0.26");
    }
}
