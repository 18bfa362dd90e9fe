//! Tables whose rows have a bar: the chart and its numbers in one place. The bars hold no text, so that they can be as
//! wide as there is room.

use super::{Part, Report, Sum, colour, percent, ranked, share};
use crate::dashboard::exact_tokens;
use crate::report::page::text;
use maud::{Markup, html};

/// Rows that a table has; what is behind them is one row more.
const MOST: usize = 12;

/// Usage by bottle; the bars show the providers.
pub(super) fn bottles(report: &Report) -> Markup {
    let providers = report.providers();
    let bottles = ranked(report.usage.iter().map(|usage| (usage.bottle.as_str(), usage.sum)));
    let widest = bottles.first().map_or(0, |part| part.sum.tokens);
    let segments = |bottle: &Part| -> Vec<(usize, String, u64)> {
        let of = |provider: &str| {
            let used =
                report.usage.iter().filter(|usage| usage.bottle == bottle.name && usage.provider == provider);
            used.map(|usage| usage.sum.tokens).fold(0, u64::saturating_add)
        };
        let each = providers.iter().enumerate();
        each.map(|(rank, provider)| (rank, provider.name.clone(), of(&provider.name))).collect()
    };
    let (shown, others) = top(bottles);
    let table = Table { caption: "Tokens by bottle", heading: "Bottle", whole: true };
    table.of(html! {
        @for bottle in &shown {
            (table.row(&bottle.name, &bottle.sum, bar(&segments(bottle), widest)))
        }
        (table.others(others, widest))
    })
}

/// Usage by provider, in the colours that they have elsewhere.
pub(super) fn providers(report: &Report) -> Markup {
    let providers = report.providers();
    let widest = providers.first().map_or(0, |part| part.sum.tokens);
    let table = Table { caption: "Tokens by provider", heading: "Provider", whole: false };
    table.of(html! {
        @for (rank, part) in providers.iter().enumerate() {
            (table.row(&part.name, &part.sum, bar(&[(rank, part.name.clone(), part.sum.tokens)], widest)))
        }
    })
}

/// Usage by anything else, in one colour.
pub(super) fn parts(parts: &[Part], caption: &'static str, heading: &'static str) -> Markup {
    let parts = ranked(parts.iter().map(|part| (part.name.as_str(), part.sum)));
    let widest = parts.first().map_or(0, |part| part.sum.tokens);
    let (shown, others) = top(parts);
    let table = Table { caption, heading, whole: false };
    table.of(html! {
        @for part in &shown {
            (table.row(&part.name, &part.sum, bar(&[(0, part.name.clone(), part.sum.tokens)], widest)))
        }
        (table.others(others, widest))
    })
}

/// The limits as they are now.
pub(super) fn budgets(report: &Report) -> Markup {
    let near = |percent: u64| report.warn_at.is_some_and(|threshold| percent >= u64::from(threshold));
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Budgets" {
            table {
                caption { "Limits, what is spent and what requests in flight hold" }
                thead { tr {
                    th scope="col" { "Limit of" }
                    th scope="col" { "Provider" }
                    th scope="col" class="chart" { "Used" }
                    th scope="col" class="number" { "Part" }
                    th scope="col" class="number" { "Spent" }
                    th scope="col" class="number" { "Held" }
                    th scope="col" class="number" { "Limit" }
                    th scope="col" { "Window" }
                    th scope="col" { "Resets" }
                } }
                tbody { @for budget in &report.budgets {
                    @let used = percent(budget.spent, budget.limit);
                    @let full = if budget.limit == 0 { 100 } else { used };
                    tr {
                        th scope="row" { (text(&budget.scope)) }
                        td { (text(&budget.provider)) }
                        td class="chart" { (gauge(budget.spent, budget.held, budget.limit, near(full))) }
                        td class="number" {
                            @if full >= 100 { span class="mark" { "spent" } " " }
                            @else if near(full) { span class="mark" { "nearly" } " " }
                            (full) " %"
                        }
                        td class="number" { (exact_tokens(budget.spent)) }
                        td class="number" { (exact_tokens(budget.held)) }
                        td class="number" { (exact_tokens(budget.limit)) }
                        td { (text(&budget.window)) }
                        td class="when" {
                            @if budget.resets_at.is_empty() { "never" } @else { (text(&budget.resets_at)) }
                        }
                    }
                } }
            }
        }
    }
}

/// A table of usage.
struct Table {
    caption: &'static str,
    heading: &'static str,
    /// Whether it has the whole width of the page, and room for every number.
    whole: bool,
}

impl Table {
    fn of(&self, rows: Markup) -> Markup {
        html! {
            div class="scroll" tabindex="0" role="region" aria-label=(self.caption) {
                table {
                    caption { (self.caption) }
                    thead { tr {
                        th scope="col" { (self.heading) }
                        th scope="col" class="chart" { "Share" }
                        th scope="col" class="number" { "Tokens" }
                        @if self.whole { th scope="col" class="number" { "Charged" } }
                        th scope="col" class="number" { "Responses" }
                        @if self.whole { th scope="col" class="number" { "Not exact" } }
                    } }
                    tbody { (rows) }
                }
            }
        }
    }

    fn row(&self, name: &str, sum: &Sum, bar: Markup) -> Markup {
        html! {
            tr {
                th scope="row" { @if name.is_empty() { i { "unknown" } } @else { (text(name)) } }
                td class="chart" { (bar) }
                td class="number" { (exact_tokens(sum.tokens)) }
                @if self.whole { td class="number" { (exact_tokens(sum.charged)) } }
                td class="number" { (exact_tokens(sum.requests)) }
                @if self.whole { td class="number" { (exact_tokens(sum.inexact)) } }
            }
        }
    }

    fn others(&self, others: Option<(usize, Sum)>, widest: u64) -> Markup {
        html! {
            @if let Some((count, sum)) = others {
                @let segment = (usize::MAX, "others".to_owned(), sum.tokens);
                (self.row(&format!("{count} others"), &sum, bar(&[segment], widest)))
            }
        }
    }
}

/// The first ones, and how many there are more with what they come to.
fn top(mut parts: Vec<Part>) -> (Vec<Part>, Option<(usize, Sum)>) {
    // One more would take the row that tells of it.
    if parts.len() <= MOST + 1 {
        return (parts, None);
    }
    let behind = parts.split_off(MOST);
    let sum = behind.iter().map(|part| part.sum).fold(Sum::default(), Sum::and);
    (parts, Some((behind.len(), sum)))
}

/// A bar of segments, each by its rank, name and tokens.
fn bar(segments: &[(usize, String, u64)], widest: u64) -> Markup {
    let mut left = 0.0;
    let mut placed = Vec::new();
    for (rank, name, tokens) in segments.iter().filter(|(_, _, tokens)| *tokens > 0) {
        let width = share(*tokens, widest) * 100.0;
        placed.push((left, width, *rank, name, *tokens));
        left += width;
    }
    html! {
        svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            @for (left, width, rank, name, tokens) in placed {
                rect x=(place(left)) y="0" width=(place(width)) height="10" class=(colour(rank)) {
                    title { (text(name)) ": " (exact_tokens(tokens)) }
                }
            }
        }
    }
}

/// What is spent and held of a limit, which is the whole width.
fn gauge(spent: u64, held: u64, limit: u64, near: bool) -> Markup {
    // Nothing is left of nothing.
    let spent = if limit == 0 { 1.0 } else { share(spent, limit) };
    let held = share(held, limit).min(1.0 - spent);
    let class = match spent {
        spent if spent >= 1.0 => "full",
        _ if near => "near",
        _ => "c0",
    };
    html! {
        svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect x="0" y="0" width="100" height="10" class="rest" {}
            rect x="0" y="0" width=(place(spent * 100.0)) height="10" class=(class) {}
            rect x=(place(spent * 100.0)) y="2" width=(place(held * 100.0)) height="6" class="held" {}
        }
    }
}

fn place(number: f64) -> String {
    format!("{number:.2}")
}
