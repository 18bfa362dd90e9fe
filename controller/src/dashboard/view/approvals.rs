//! What waits for a decision: one line each, and the fixed template of the one that is selected.
//!
//! Invariant: the lines of an approval are those of the template that every place shows; nothing here adds a word to them.

use super::format::{clean, fit, left, right, span, wrap};
use super::paint::Paint;
use crate::dashboard::{State, Waiting};
use hudson_schema::Tier;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

/// Columns of the labels on the left.
const LABEL: usize = 14;
/// Columns of a tier, of the time that is left, and of a bottle at most.
const TIER: usize = 8;
const TIME: usize = 5;
const BOTTLE: usize = 16;

/// How many there are.
pub(super) fn title(state: &State) -> String {
    let (listed, all) =
        (state.waiting().len(), state.snapshot.as_ref().map_or(0, |snapshot| snapshot.waiting));
    match all {
        all if all > listed as u64 => {
            format!("Approvals · {listed} of {all} that wait; hudson approvals list has the others")
        }
        _ => format!("Approvals · {listed} wait"),
    }
}

/// The rows that the list has room for, the selected one among them.
pub(super) fn list(state: &State, paint: Paint, width: usize, height: usize) -> Vec<Line<'static>> {
    let waiting = state.waiting();
    if waiting.is_empty() {
        return vec![Line::raw("  Nothing waits for a decision. Esc goes back.")];
    }
    let position = state.asked_position();
    let top = (position + 1).saturating_sub(height);
    let bottle = waiting.iter().map(|one| one.bottle.as_str().width()).max().unwrap_or_default().min(BOTTLE);
    let row = |(index, one): (usize, &Waiting)| {
        let text = format!(
            "  {} {} {} {} {}",
            right(&span(one.expires_at.saturating_sub(state.now)), TIME),
            left(one.tier.name(), TIER),
            left(one.bottle.as_str(), bottle),
            clean(&one.what),
            clean(&one.target)
        );
        let line = Line::raw(left(&text, width));
        match (index == position, one.tier) {
            (true, _) => line.style(paint.selected()),
            (false, Tier::High | Tier::Critical) => line.style(paint.warning()),
            (false, _) => line,
        }
    };
    waiting.iter().enumerate().skip(top).take(height).map(row).collect()
}

/// The template, wrapped under its labels.
pub(super) fn text(waiting: &Waiting, paint: Paint, width: usize) -> Vec<Line<'static>> {
    let room = width.saturating_sub(LABEL + 2);
    let mut lines = Vec::new();
    for (label, value) in &waiting.lines {
        for (index, part) in wrap(&clean(value), room).into_iter().enumerate() {
            let label = if index == 0 { label.as_ref() } else { "" };
            let label = Span::styled(left(&format!("  {label}"), LABEL + 2), paint.quiet());
            lines.push(Line::from(vec![label, Span::raw(fit(&part, room))]));
        }
    }
    lines
}
