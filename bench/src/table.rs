//! The report as text: for each peer the median with its least and most round, then the bars.

use crate::bars::{self, Outcome};
use crate::report::{Report, Row};
use crate::stats::Spread;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The whole report as text.
pub(crate) fn of(report: &Report) -> String {
    let mut text = format!("{}\n", report.machine);
    if let Some(pinned) = report.pinned {
        text += &format!("{pinned}\n");
    }
    text += &format!("Medians of {} rounds (least–most). CPU time is the peer's own.\n", report.rounds);
    for note in &report.notes {
        text += &format!("{note}\n");
    }
    text += &format!("\n{}\n", figures(report));
    let outcomes = bars::outcomes(report);
    if !outcomes.is_empty() {
        text += "\nWhat Hudson is held to, with a tenth for noise:\n";
        text += &format!("\n{}\n", verdicts(&outcomes));
    }
    text
}

fn figures(report: &Report) -> Table {
    let mut header = ["case", "figure", "unit"].map(str::to_owned).to_vec();
    header.extend(report.peers.iter().map(|peer| peer.name().to_owned()));
    let mut table = table(header, 3);
    for row in &report.rows {
        table.add_row(cells(report, row));
    }
    table
}

fn verdicts(outcomes: &[Outcome]) -> Table {
    let header = ["case", "hudson's", "bar", "measured", "verdict"].map(str::to_owned);
    let mut table = table(header.to_vec(), 3);
    for outcome in outcomes {
        let verdict = match (outcome.met, outcome.missing) {
            (Some(true), _) => "met".to_owned(),
            (Some(false), _) => "MISSED".to_owned(),
            (None, Some(peer)) => format!("{} not measured", peer.name()),
            (None, None) => "not measured".to_owned(),
        };
        let value = outcome.value.map_or_else(dash, number);
        table.add_row([outcome.case.name(), outcome.figure, &outcome.bar, &value, &verdict]);
    }
    table
}

/// A table whose columns from `numbers` on are numbers.
pub(crate) fn table(header: Vec<String>, numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(report: &Report, row: &Row) -> Vec<String> {
    let mut cells =
        vec![row.case.name().to_owned(), row.figure.clone().into_owned(), row.unit.symbol().to_owned()];
    cells.extend(report.peers.iter().map(|peer| row.spread(*peer).map_or_else(dash, spread)));
    cells
}

/// Where there is no figure.
pub(crate) fn dash() -> String {
    "–".to_owned()
}

/// The middle round, the least and the most.
pub(crate) fn spread(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    format!("{} ({}–{})", number(median), number(min), number(max))
}

/// Three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
