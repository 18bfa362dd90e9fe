//! How the state looks. Nothing here changes it.
//!
//! Invariant: what a colour says, a word or a symbol says too.

mod approvals;
mod details;
mod dialog;
mod events;
mod head;
mod paint;
mod table;

use super::format;
use super::layout::{self, areas};
use super::state::{Mode, Pane, State};
use paint::Paint;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

/// Rows of a pane that its title takes.
const TITLE: u16 = 1;
/// Rows of the table that its headings take.
const HEADINGS: u16 = 1;

/// Draws everything.
pub(crate) fn view(state: &State, frame: &mut Frame<'_>) {
    if (frame.area().width, frame.area().height) != state.size {
        // The terminal has changed just now; the event that tells so is under way.
        return;
    }
    if layout::too_small(state.size) {
        return too_small(state, frame);
    }
    let areas = areas(state);
    let paint = Paint { colour: state.colour };
    frame.render_widget(Paragraph::new(head::lines(state, paint, areas.head.width)), areas.head);
    let empty = state.snapshot.as_ref().map(|snapshot| snapshot.bottles.is_empty());
    match empty {
        _ if state.pane == Pane::Approvals => panes(state, paint, &areas, frame),
        Some(false) => panes(state, paint, &areas, frame),
        empty => {
            let body = Rect { height: areas.foot.y - areas.head.height, y: areas.head.height, ..areas.head };
            frame.render_widget(Paragraph::new(nothing(state, empty.is_some(), body.width)), body);
        }
    }
    let foot = head::foot(state, paint, areas.foot.width);
    let above = u16::try_from(foot.len()).unwrap_or(1).saturating_sub(areas.foot.height);
    let area = Rect { y: areas.foot.y - above, height: areas.foot.height + above, ..areas.foot };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(foot), area);
    dialog::draw(state, paint, frame);
}

/// Bottles that the table has room for.
pub(super) fn table_height(state: &State) -> usize {
    usize::from(areas(state).bottles.height.saturating_sub(TITLE + HEADINGS))
}

/// Lines that the details have room for.
pub(super) fn detail_height(state: &State) -> usize {
    usize::from(areas(state).details.height.saturating_sub(TITLE))
}

/// Lines that the details have.
pub(super) fn detail_lines(state: &State) -> usize {
    let width = usize::from(areas(state).details.width);
    state
        .current()
        .map_or(0, |bottle| details::lines(bottle, state.now, Paint { colour: state.colour }, width).len())
}

/// Lines that the text of an approval has room for.
pub(super) fn asked_height(state: &State) -> usize {
    usize::from(areas(state).asked.height.saturating_sub(TITLE))
}

/// Lines that it has.
pub(super) fn asked_lines(state: &State) -> usize {
    let width = usize::from(areas(state).asked.width);
    let paint = Paint { colour: state.colour };
    state.asked().map_or(0, |waiting| approvals::text(waiting, paint, width).len())
}

/// Events that their pane has room for.
pub(super) fn events_height(state: &State) -> usize {
    usize::from(areas(state).events.height.saturating_sub(TITLE))
}

fn panes(state: &State, paint: Paint, areas: &layout::Areas, frame: &mut Frame<'_>) {
    let mut pane = |which: Pane, area: Rect, title: String, lines: Vec<Line<'static>>| {
        if area.height == 0 {
            return;
        }
        let [above, below] =
            [Rect { height: TITLE, ..area }, Rect { y: area.y + TITLE, height: area.height - TITLE, ..area }];
        let chosen = state.pane == which && !matches!(state.mode, Mode::Help);
        frame.render_widget(Paragraph::new(heading(&title, chosen, paint, above.width)), above);
        frame.render_widget(Paragraph::new(lines), below);
    };
    if state.pane == Pane::Approvals {
        let list = usize::from(areas.approvals.height.saturating_sub(TITLE));
        let rows = approvals::list(state, paint, usize::from(areas.approvals.width), list);
        pane(Pane::Approvals, areas.approvals, approvals::title(state), rows);
        if let Some(waiting) = state.asked() {
            let lines = approvals::text(waiting, paint, usize::from(areas.asked.width));
            let (all, height) = (lines.len(), asked_height(state));
            let top = state.asked_top.min(all.saturating_sub(height));
            let title = match all > height {
                true => {
                    format!("{} · lines {}–{} of {all}, PgDn", waiting.id, top + 1, all.min(top + height))
                }
                false => waiting.id.to_string(),
            };
            let lines = lines.into_iter().skip(top).take(height).collect();
            pane(Pane::Details, areas.asked, title, lines);
        }
        return;
    }
    let rows = table::lines(state, paint, areas.bottles.width, table_height(state));
    pane(Pane::Bottles, areas.bottles, table::title(state), rows);
    if let Some(bottle) = state.current() {
        let lines = details::lines(bottle, state.now, paint, usize::from(areas.details.width));
        let (all, height) = (lines.len(), detail_height(state));
        let top = state.detail_top.min(all.saturating_sub(height));
        let title = match all > height {
            true => format!("{} · lines {}–{} of {all}", bottle.name, top + 1, all.min(top + height)),
            false => bottle.name.to_string(),
        };
        let lines = lines.into_iter().skip(top).take(height).collect();
        pane(Pane::Details, areas.details, title, lines);
    }
    let lines = events::lines(state, usize::from(areas.events.width), events_height(state));
    pane(Pane::Events, areas.events, events::title(state), lines);
}

/// A pane's title in a rule across it.
fn heading(title: &str, chosen: bool, paint: Paint, width: u16) -> Line<'static> {
    let mark = if chosen { "▶ " } else { "─ " };
    let width = usize::from(width);
    let title = format::fit(&format!("{mark}{title} "), width);
    let used = unicode_width::UnicodeWidthStr::width(title.as_str());
    let rule = "─".repeat(width.saturating_sub(used));
    let style = if chosen { paint.chosen() } else { paint.quiet() };
    Line::from(vec![Span::styled(title, style), Span::styled(rule, paint.quiet())])
}

fn nothing(state: &State, read: bool, width: u16) -> Vec<Line<'static>> {
    let text = if read {
        format!(
            "There is no bottle in {} yet.\n\n\
             Run an agent in one, with its traffic through the proxy and 200,000 tokens:\n\
             \u{a0}\u{a0}hudson run --budget claude=200k -- claude\n\n\
             Or serve bottles that are started elsewhere:\n\
             \u{a0}\u{a0}hudson up\n\
             \u{a0}\u{a0}hudson bottle add NAME\n\n\
             They appear here as soon as they are known.",
            state.home
        )
    } else {
        match &state.fault {
            Some(_) => "Nothing could be read so far.".to_owned(),
            None => "Reading …".to_owned(),
        }
    };
    let width = usize::from(width).saturating_sub(2);
    let lines = text.split('\n').flat_map(|line| format::wrap(line, width));
    std::iter::once(String::new()).chain(lines).map(|line| Line::from(format!("  {line}"))).collect()
}

fn too_small(state: &State, frame: &mut Frame<'_>) {
    let (width, height) = state.size;
    let (least_width, least_height) = layout::LEAST;
    let text = format!(
        "The terminal is too small: {width}×{height}, and {least_width}×{least_height} is needed. q quits."
    );
    let lines = format::wrap(&text, usize::from(width)).into_iter().map(Line::from);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), frame.area());
}
