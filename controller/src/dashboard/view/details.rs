//! Everything that is known of one bottle, as lines that are never wider than the pane.

use super::format::{bar, clean, counted, exact_tokens, fit, joined, left, right, span, tokens, wrap};
use super::head::place;
use super::paint::{Paint, symbol};
use crate::dashboard::list::word;
use crate::dashboard::{Bottle, Limit, Refusal, Run, Spent};
use hudson_schema::ledger::Enforcement;
use ratatui::text::{Line, Span};

/// Columns of the labels on the left.
const LABEL: usize = 10;

/// The lines.
pub(super) fn lines(bottle: &Bottle, now: i64, paint: Paint, width: usize) -> Vec<Line<'static>> {
    let mut sheet = Sheet { lines: Vec::new(), paint, width };
    sheet.text("state", &state(bottle, now));
    for block in &bottle.blocks {
        let since = span(now.saturating_sub(block.since));
        let until = block.budget.as_ref().and_then(|budget| budget.window_end);
        let until =
            until.map_or(String::new(), |at| format!(", until its window ends in {}", span(at - now)));
        let by = if block.budget.is_some() { "a spent budget" } else { "an operator" };
        sheet.text(
            "block",
            &format!("{} of {} by {by}, since {since}{until}: {}", block.policy, block.scope, block.cause),
        );
    }
    sheet.limits(&bottle.limits, now);
    for run in &bottle.runs {
        sheet.text("run", &self::run(run, now));
    }
    if bottle.runs.is_empty() {
        sheet.text("run", "none on record");
    }
    sheet.text("in flight", &format!("{} tokens held", exact_tokens(bottle.held)));
    sheet.spent("provider", &bottle.providers);
    sheet.spent("host, 15m", &bottle.hosts);
    for refusal in &bottle.refusals {
        sheet.text("refused", &refused(refusal, now));
    }
    for row in &bottle.enforcements {
        sheet.text("enforced", &enforced(row, now));
    }
    sheet.lines
}

fn state(bottle: &Bottle, now: i64) -> String {
    let mut text = format!("{} {}", symbol(bottle.state), word(bottle.state));
    text += &format!(", {} tokens a minute", exact_tokens(bottle.rate));
    if let Some(left) = bottle.empty_in(now) {
        text += &match left {
            0 => ", a budget is spent".to_owned(),
            left => format!(", empty in {}", span(left)),
        };
    }
    if let Some(at) = bottle.active_at {
        text += &format!(", last active {}", ago(now, at));
    }
    text
}

fn ago(now: i64, at: i64) -> String {
    match now.saturating_sub(at) {
        ..1000 => "just now".to_owned(),
        past => format!("{} ago", span(past)),
    }
}

fn run(run: &Run, now: i64) -> String {
    let agent = run.agent.as_ref().map_or(String::new(), |agent| format!(" agent {agent},"));
    let held = match run.held {
        0 => String::new(),
        held => format!(", {} tokens held", exact_tokens(held)),
    };
    let life = match (run.finished_at, run.exit_code) {
        (None, _) if run.frozen => {
            format!("frozen, live for {}{held}", span(now.saturating_sub(run.started_at)))
        }
        (None, _) => format!("live for {}{held}", span(now.saturating_sub(run.started_at))),
        (Some(at), Some(code)) => format!("ended {} with exit code {code}", ago(now, at)),
        (Some(at), None) => format!("ended {}", ago(now, at)),
    };
    format!("{}{agent} {life}", run.id)
}

fn enforced(row: &Enforcement, now: i64) -> String {
    let when = ago(now, row.finished_at.unwrap_or(row.created_at));
    let detail = if row.detail.is_empty() { &row.cause } else { &row.detail };
    format!("{} {} {when}: {detail}", row.action, row.state.name())
}

fn refused(refusal: &Refusal, now: i64) -> String {
    let times = match refusal.times {
        1 => String::new(),
        times => format!(", {} times", exact_tokens(times)),
    };
    format!("{} {}{times}: {}: {}", refusal.asked, ago(now, refusal.at), refusal.code, refusal.reason)
}

struct Sheet {
    lines: Vec<Line<'static>>,
    paint: Paint,
    width: usize,
}

impl Sheet {
    /// A text behind a label, wrapped under itself.
    fn text(&mut self, label: &str, text: &str) {
        let room = self.width.saturating_sub(LABEL + 2);
        for (index, line) in wrap(&clean(text), room).into_iter().enumerate() {
            self.line(if index == 0 { label } else { "" }, line);
        }
    }

    fn line(&mut self, label: &str, text: String) {
        let label = Span::styled(left(&format!("  {label}"), LABEL + 2), self.paint.quiet());
        self.lines.push(Line::from(vec![label, Span::raw(text)]));
    }

    /// The limits, those that govern first and marked, aligned with each other.
    fn limits(&mut self, limits: &[Limit], now: i64) {
        if limits.is_empty() {
            return self.text("limit", "none; b sets one");
        }
        let mut limits: Vec<&Limit> = limits.iter().collect();
        limits.sort_by_key(|limit| (!limit.governs, std::cmp::Reverse(limit.percent())));
        let name = |limit: &Limit| format!("{} {}", place(limit), limit.provider);
        let longest = limits.iter().map(|limit| name(limit).chars().count()).max().unwrap_or_default();
        let room = self.width.saturating_sub(LABEL + 2);
        // The bar and its numbers, `██████ 100% 12.3k left of 12.3k`, and a blank around them.
        let one_line = longest + 50 <= room;
        for limit in limits {
            let mark = if limit.governs { "▸" } else { " " };
            let name = format!("{mark}{}", name(limit));
            let resets = limit.resets_at.map_or("never resets".to_owned(), |at| {
                format!("resets in {}", span(at.saturating_sub(now)))
            });
            let held = (limit.held > 0).then(|| format!("{} held", tokens(limit.held)));
            let notes = [Some(resets), held, Some(format!("from {}", limit.source))];
            let notes = |room| joined(notes.iter().flatten(), ", ", room);
            if one_line {
                let text = format!("{} {} ", left(&name, longest + 1), amounts(limit));
                let notes = notes(room.saturating_sub(text.chars().count()));
                self.line("limit", text + &notes);
            } else {
                self.line("limit", fit(&name, room));
                self.line("", fit(&format!(" {}", amounts(limit)), room));
                self.line("", format!(" {}", notes(room.saturating_sub(1))));
            }
        }
    }

    fn spent(&mut self, label: &str, spent: &[Spent]) {
        for of in spent {
            let inexact = match of.inexact {
                0 => String::new(),
                inexact => format!(", {} not exact", exact_tokens(inexact)),
            };
            let requests = counted(&exact_tokens(of.requests), "request");
            let text = format!("{}: {} tokens in {requests}{inexact}", of.of, exact_tokens(of.tokens));
            self.text(label, &text);
        }
    }
}

fn amounts(limit: &Limit) -> String {
    let percent = limit.percent();
    let (left, all) = (right(&tokens(limit.left()), 5), tokens(limit.limit));
    format!("{} {:>3}% {left} left of {all:<5}", bar(percent, 6), percent.min(999))
}
