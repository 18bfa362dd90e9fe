//! What has happened: the last rows of the audit, one a line.

use super::format::{clean, fit};
use crate::dashboard::State;
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

/// The longest that a bottle's name is given room for.
const LONGEST_NAME: usize = 16;

/// Whether the last ones are followed.
pub(super) fn title(state: &State) -> String {
    match state.events_below {
        0 => "Events".to_owned(),
        1 => "Events · 1 newer below, End follows".to_owned(),
        below => format!("Events · {below} newer below, End follows"),
    }
}

/// The rows that the pane has room for.
pub(super) fn lines(state: &State, width: usize, height: usize) -> Vec<Line<'static>> {
    let events = state.snapshot.as_ref().map(|snapshot| snapshot.events.as_slice()).unwrap_or_default();
    if events.is_empty() {
        return vec![Line::raw("  Nothing has happened yet.")];
    }
    let end = events.len().saturating_sub(state.events_below);
    let seen = events.get(end.saturating_sub(height)..end).unwrap_or_default();
    let times = seen.iter().map(|row| row.at.width()).max().unwrap_or_default();
    let longest = seen.iter().map(|row| row.bottle.width()).max().unwrap_or_default().min(LONGEST_NAME);
    let line = |row: &crate::dashboard::EventRow| {
        let bottle = super::format::left(&row.bottle, longest);
        let at = super::format::right(&row.at, times);
        Line::raw(fit(&format!("  {at} {bottle} {}", clean(&row.text)), width))
    };
    seen.iter().map(line).collect()
}
