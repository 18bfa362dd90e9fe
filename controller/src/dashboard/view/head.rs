//! The lines above and below the panes: the whole host, what is wrong, and the keys.

use super::format::{clean, counted, exact_tokens, fit, joined, tokens, wrap};
use super::paint::Paint;
use crate::dashboard::state::{Mode, Pane, State};
use crate::dashboard::{Away, BottleState, Limit, Origin, Snapshot};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

/// The most lines that a notice takes.
const LONGEST_NOTICE: usize = 5;

/// Home, totals and warnings, one line each.
pub(super) fn lines(state: &State, paint: Paint, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let (from, style) = match state.snapshot.as_ref().map(|snapshot| &snapshot.origin) {
        None => <_>::default(),
        Some(origin) => (origin_words(origin), origin_style(origin, paint)),
    };
    let room = width.saturating_sub(from.width() + 1);
    let home = fit(&format!("Hudson  {}", clean(&state.home)), room);
    let gap = " ".repeat(width.saturating_sub(home.width() + from.width()));
    let first =
        Line::from(vec![Span::styled(home, paint.heading()), Span::raw(gap), Span::styled(from, style)]);
    let Some(snapshot) = &state.snapshot else {
        let fault = state.fault.as_ref().map(|fault| trouble(&clean(fault), paint, width));
        return vec![first, Line::default(), fault.unwrap_or_default()];
    };
    vec![first, Line::from(totals(snapshot, width)), warnings(state, snapshot, paint, width)]
}

/// Where what is shown comes from, and why.
fn origin_words(origin: &Origin) -> String {
    let why = match origin {
        Origin::Controller { role, pid } => return clean(&format!("hudson {role}: process {pid}")),
        Origin::Ledger(Away::NotRunning) => "is not running",
        Origin::Ledger(Away::Silent) => "does not answer",
        Origin::Ledger(Away::OtherVersion(version)) => &format!("is version {version}"),
        Origin::Ledger(Away::Failed(_)) => "cannot be asked",
    };
    clean(&format!("from the ledger: hudson up {why}"))
}

fn origin_style(origin: &Origin, paint: Paint) -> Style {
    match origin {
        Origin::Controller { .. } | Origin::Ledger(Away::NotRunning) => Style::default(),
        Origin::Ledger(_) => paint.wrong(),
    }
}

/// As much as fits, what matters most first.
fn totals(snapshot: &Snapshot, width: usize) -> String {
    let of = |state| snapshot.bottles.iter().filter(|bottle| bottle.state == state).count();
    let stopped = of(BottleState::CutOff) + of(BottleState::Partly);
    let runs: usize = snapshot.bottles.iter().map(|bottle| bottle.live().count()).sum();
    let spent = &snapshot.spent;
    let mut parts = vec![
        format!(
            "{}, {} running",
            counted(&snapshot.bottles.len().to_string(), "bottle"),
            of(BottleState::Running)
        ),
        format!("{} tokens", tokens(spent.tokens)),
        format!("{}/min", tokens(snapshot.rate)),
        format!("{} held", tokens(snapshot.held)),
        counted(&runs.to_string(), "live run"),
    ];
    if stopped > 0 {
        parts.insert(1, format!("{stopped} cut off"));
    }
    match snapshot.waiting {
        0 => {}
        1 => parts.insert(1, "1 waits for approval (a)".to_owned()),
        waiting => parts.insert(1, format!("{waiting} wait for approval (a)")),
    }
    if let Some(exact) = spent.exact() {
        parts.push(format!("{exact} % of {} counted exactly", exact_tokens(spent.requests)));
    }
    joined(parts, " · ", width)
}

fn warnings(state: &State, snapshot: &Snapshot, paint: Paint, width: usize) -> Line<'static> {
    if let Some(fault) = state.fault.as_ref().or(snapshot.faults.first()) {
        return trouble(&clean(fault), paint, width);
    }
    let percent = match snapshot.warn_at {
        Some(percent) => percent,
        None => return Line::styled("no threshold of warnings is set", paint.quiet()),
    };
    let mut limits: Vec<&Limit> = snapshot.warnings.iter().collect();
    limits.sort_by_key(|limit| std::cmp::Reverse(limit.percent()));
    if limits.is_empty() {
        return Line::styled(format!("✓ no limit is over {percent} %"), paint.quiet());
    }
    let mut line = format!("! {} over {percent} %", counted(&limits.len().to_string(), "limit"));
    for (index, limit) in limits.iter().enumerate() {
        let sign = if index == 0 { ": " } else { ", " };
        let next = format!("{line}{sign}{} {} {} %", place(limit), limit.provider, limit.percent());
        if next.width() + 3 > width {
            line.push_str(if index == 0 { "" } else { ", …" });
            break;
        }
        line = next;
    }
    Line::styled(fit(&line, width), paint.warning())
}

fn trouble(fault: &str, paint: Paint, width: usize) -> Line<'static> {
    let fault: Vec<&str> = fault.split_whitespace().collect();
    Line::styled(fit(&format!("! {}", fault.join(" ")), width), paint.wrong())
}

/// Where a limit stands, in little room.
pub(super) fn place(limit: &Limit) -> String {
    use hudson_schema::ScopeKind;
    match limit.scope.kind {
        ScopeKind::Global => "host".to_owned(),
        ScopeKind::Run => format!("run {}", crate::dashboard::audit::short(&limit.scope.key)),
        kind => format!("{} {}", kind.name(), limit.scope.key),
    }
}

/// The keys, or what is written, or what is told, which may take some lines: why an order failed has to be read.
pub(super) fn foot(state: &State, paint: Paint, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    if let (Some(notice), Mode::Browse, false) = (&state.notice, &state.mode, state.ordering) {
        let (mark, style) = if notice.failed { ("!", paint.wrong()) } else { ("✓", paint.well()) };
        let lines = wrap(&format!("{mark} {}", clean(&notice.text)), width);
        return lines.into_iter().take(LONGEST_NOTICE).map(|line| Line::styled(line, style)).collect();
    }
    vec![keys(state, paint, width)]
}

fn keys(state: &State, paint: Paint, width: usize) -> Line<'static> {
    if let Mode::Filter(_) = state.mode {
        let text = format!("/{}▏  Enter keeps the filter, Esc takes it back", clean(&state.filter));
        return Line::styled(fit(&text, width), paint.chosen());
    }
    if state.ordering {
        return Line::styled("… the order is being carried out", paint.warning());
    }
    let moves = match state.pane {
        Pane::Bottles => "↑↓ select",
        Pane::Details | Pane::Events => "↑↓ scroll",
        Pane::Approvals => {
            let keys = ["y approve", "d deny", "Esc back", "↑↓ select", "PgDn read on", "? help", "q quit"];
            return Line::styled(joined(keys, "  ", width), paint.quiet());
        }
    };
    // What matters most first: a narrow screen has no room for all.
    let keys = [
        "c cutoff",
        "f freeze",
        "r resume",
        "K kill",
        "b budget",
        "? help",
        "q quit",
        "a approvals",
        "s sort",
        "/ filter",
        "Tab pane",
        moves,
    ];
    Line::styled(joined(keys, "  ", width), paint.quiet())
}
