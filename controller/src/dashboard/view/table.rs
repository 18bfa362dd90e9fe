//! The bottles, one a row. Where the screen is narrow the columns that matter least go first; the details have them all.

use super::format::{bar, coarse, fit, left, right, span, tokens};
use super::paint::{Paint, symbol};
use crate::dashboard::list::word;
use crate::dashboard::state::{Sort, State};
use crate::dashboard::{Bottle, Limit};
use ratatui::text::{Line, Span};

/// The longest that a bottle's name is given room for.
const LONGEST_NAME: usize = 24;
/// The longest bar.
const LONGEST_BAR: usize = 20;
/// The room of the numbers behind a bar: ` 100% 12.3k/12.3k!`.
const NUMBERS: usize = 18;

/// The columns, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Name,
    State,
    Provider,
    Used,
    Rate,
    Empty,
    Exact,
    Runs,
    Last,
}

/// Each with its heading and its least width.
const COLUMNS: [(Column, &str, usize); 9] = [
    (Column::Name, "BOTTLE", 9),
    (Column::State, "STATE", 9),
    (Column::Provider, "PROVIDER", 8),
    (Column::Used, "USED OF LIMIT", NUMBERS + 3),
    (Column::Rate, "TPM", 5),
    (Column::Empty, "EMPTY", 5),
    (Column::Exact, "EXACT", 5),
    (Column::Runs, "RUNS", 4),
    (Column::Last, "LAST", 4),
];
/// What is left out first.
const SPARED: [Column; 4] = [Column::Runs, Column::Exact, Column::Last, Column::Provider];

/// How the table is ordered and filtered.
pub(super) fn title(state: &State) -> String {
    let all = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.bottles.len());
    let shown = state.shown().len();
    let mut title = format!("Bottles by {}", state.sort.name());
    if state.filter.is_empty() {
        title += &format!(" · {all}");
    } else {
        title += &format!(" · {shown} of {all} with “{}”", super::format::clean(&state.filter));
    }
    if shown > super::table_height(state) {
        title += &format!(" · at {}", state.position() + 1);
    }
    title
}

/// Headings and the rows around the selected one.
pub(super) fn lines(state: &State, paint: Paint, width: u16, height: usize) -> Vec<Line<'static>> {
    let columns = columns(usize::from(width).saturating_sub(2));
    let headings = columns.iter().map(|(column, heading, width)| {
        let sorted = matches!(
            (state.sort, column),
            (Sort::Name, Column::Name)
                | (Sort::Usage, Column::Used)
                | (Sort::Rate, Column::Rate)
                | (Sort::Empty, Column::Empty)
        );
        let heading =
            if sorted && heading.len() < *width { format!("{heading}▾") } else { (*heading).to_owned() };
        aligned(*column, &heading, *width)
    });
    let headings = format!("  {}", headings.collect::<Vec<_>>().join(" "));
    let mut lines = vec![Line::styled(headings, paint.heading())];
    let shown = state.shown();
    if shown.is_empty() {
        lines.push(Line::raw("  No bottle fits the filter; Esc shows all."));
        return lines;
    }
    let position = state.position();
    let top = (position + 1).saturating_sub(height);
    let warn_at = state.snapshot.as_ref().and_then(|snapshot| snapshot.warn_at);
    for (place, bottle) in shown.into_iter().enumerate().skip(top).take(height) {
        lines.push(row(bottle, place == position, &columns, state.now, warn_at, paint));
    }
    lines
}

/// The columns that fit, each with its width.
fn columns(width: usize) -> Vec<(Column, &'static str, usize)> {
    let mut columns = COLUMNS.to_vec();
    let needed = |columns: &[(Column, &str, usize)]| {
        columns.iter().map(|(.., width)| width + 1).sum::<usize>().saturating_sub(1)
    };
    for spared in SPARED {
        if needed(&columns) > width {
            columns.retain(|(column, ..)| *column != spared);
        }
    }
    let mut rest = width.saturating_sub(needed(&columns));
    for (grown, most) in [(Column::Name, LONGEST_NAME), (Column::Used, NUMBERS + LONGEST_BAR)] {
        for (column, _, width) in &mut columns {
            if *column == grown {
                let more = rest.min(most.saturating_sub(*width));
                *width += more;
                rest -= more;
            }
        }
    }
    columns
}

fn aligned(column: Column, text: &str, width: usize) -> String {
    match column {
        Column::Name | Column::State | Column::Provider | Column::Used => left(text, width),
        _ => right(text, width),
    }
}

fn row(
    bottle: &Bottle,
    selected: bool,
    columns: &[(Column, &str, usize)],
    now: i64,
    warn_at: Option<u8>,
    paint: Paint,
) -> Line<'static> {
    let mut spans = vec![Span::raw(if selected { "▸ " } else { "  " })];
    for (index, (column, _, width)) in columns.iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        let text = aligned(*column, &cell(bottle, *column, *width, now, warn_at), *width);
        let warned = bottle.tightest().is_some_and(|limit| past(limit, warn_at));
        let style = match column {
            Column::State => paint.state(bottle.state),
            Column::Used if warned => paint.warning(),
            _ => ratatui::style::Style::new(),
        };
        spans.push(Span::raw(gap));
        spans.push(Span::styled(text, style));
    }
    let line = Line::from(spans);
    if selected { line.style(paint.selected()) } else { line }
}

fn cell(bottle: &Bottle, column: Column, width: usize, now: i64, warn_at: Option<u8>) -> String {
    match column {
        Column::Name => bottle.name.to_string(),
        Column::State => format!("{} {}", symbol(bottle.state), word(bottle.state)),
        Column::Provider => match bottle.providers.as_slice() {
            [] => "–".to_owned(),
            [one] => one.of.clone(),
            [first, others @ ..] => {
                let more = format!("+{}", others.len());
                format!("{}{more}", fit(&first.of, width.saturating_sub(more.len())))
            }
        },
        Column::Used => match bottle.tightest() {
            Some(limit) => used(limit, width, warn_at),
            None => format!("{} no limit", tokens(bottle.spent().tokens)),
        },
        Column::Rate => tokens(bottle.rate),
        Column::Empty => bottle.empty_in(now).map_or("–".to_owned(), span),
        Column::Exact => bottle.spent().exact().map_or("–".to_owned(), |exact| format!("{exact}%")),
        Column::Runs => bottle.live().count().to_string(),
        Column::Last => bottle.active_at.map_or("–".to_owned(), |at| coarse(now.saturating_sub(at))),
    }
}

/// A bar and its numbers, marked where a warning is due.
pub(super) fn used(limit: &Limit, width: usize, warn_at: Option<u8>) -> String {
    let percent = limit.percent();
    let mark = if past(limit, warn_at) { "!" } else { "" };
    let shown = if percent > 999 { ">999".to_owned() } else { percent.to_string() };
    let numbers = format!("{shown:>3}% {}/{}{mark}", tokens(limit.spent), tokens(limit.limit));
    format!("{} {numbers}", bar(percent, width.saturating_sub(NUMBERS)))
}

fn past(limit: &Limit, warn_at: Option<u8>) -> bool {
    warn_at.is_some_and(|warn_at| limit.percent() >= u64::from(warn_at))
}
