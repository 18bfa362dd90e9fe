//! The page.

use super::{Report, bars, days, percent};
use crate::dashboard::{clean, exact_tokens, tokens};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What the browser lets the page do: show its own styles.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// The styles; there is no other file.
const STYLE: &str = include_str!("style.css");
/// What the names of the qualities mean.
const QUALITIES: [(&str, &str); 4] = [
    ("exact", "the provider's own final numbers"),
    ("recovered", "a response that broke off: what was seen, and at least what was held"),
    ("estimated", "an estimate, for the provider stated nothing"),
    ("held", "nothing could be read: all that was held"),
];

/// A text that comes from elsewhere, without what could mislead its reader. It is escaped where it is written.
pub(super) struct Text(pub(super) String);

/// See [`Text`].
pub(super) fn text(text: &str) -> Text {
    Text(clean(text))
}

impl maud::Render for Text {
    fn render_to(&self, buffer: &mut String) {
        self.0.as_str().render_to(buffer);
    }
}

/// Draws it.
pub(crate) fn html(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Hudson report, " (period(report)) }
                // Ours, and without anything that would end the element.
                style { (PreEscaped(STYLE)) }
            }
            (body(report))
        }
    }
    .into_string()
}

/// What is seen of it.
pub(super) fn body(report: &Report) -> Markup {
    let sections = html! {
        (section("days", "Usage by day", days::chart(report)))
        (section("bottles", "Usage by bottle", bars::bottles(report)))
        div class="pair" {
            (section("providers", "Usage by provider", bars::providers(report)))
            (section("quality", "Quality of the counts", qualities(report)))
        }
    };
    html! {
        body {
            (head(report))
            main {
                (cards(report))
                @if report.usage.is_empty() {
                    p class="nothing" { "Nothing was used in this time." }
                } @else { (sections) }
                (section("budgets", "Budgets", budgets(report)))
                (section("stops", "What was stopped", stops(report)))
                @if !report.usage.is_empty() {
                    div class="pair" {
                        (section("models", "Top models", bars::parts(&report.models, "Tokens by model", "Model")))
                        (section("hosts", "Most used hosts", bars::parts(&report.hosts, "Tokens by host", "Host")))
                    }
                }
            }
            footer {
                p {
                    "Tokens are all that a provider processed, as its own responses state them. Charged is what budgets \
                     count, by their weights. Days are days of UTC. Limits are those of the moment at which this was made."
                }
                p { "Made by hudson " (env!("CARGO_PKG_VERSION")) " on " (instant(report.made_at)) "." }
            }
        }
    }
}

fn head(report: &Report) -> Markup {
    html! {
        header {
            p class="brand" { "Hudson" }
            h1 {
                "Usage report"
                @if let Some(bottle) = &report.bottle { " of bottle " (text(bottle)) }
            }
            p class="period" { (period(report)) span class="home" { (text(&report.home)) } }
        }
    }
}

fn period(report: &Report) -> String {
    format!("{} to {}", instant(report.since), instant(report.until))
}

/// The numbers to be seen first.
fn cards(report: &Report) -> Markup {
    let total = report.total();
    let exact = percent(total.requests - total.inexact.min(total.requests), total.requests);
    let spent = report.budgets.iter().filter(|budget| budget.spent >= budget.limit).count();
    let card = |name: &str, value: String, more: String| {
        html! { div class="card" { dt { (name) } dd { strong { (value) } span { (more) } } } }
    };
    html! {
        dl class="cards" {
            (card("Tokens", tokens(total.tokens), exact_tokens(total.tokens)))
            (card("Charged to budgets", tokens(total.charged), exact_tokens(total.charged)))
            (card("Responses", exact_tokens(total.requests), counted(report)))
            (card("Counted exactly", format!("{exact} %"), format!("{} not exact", exact_tokens(total.inexact))))
            (card("Budgets spent", spent.to_string(), format!("of {} limits, now", report.budgets.len())))
        }
    }
}

fn counted(report: &Report) -> String {
    let bottles: std::collections::BTreeSet<&str> =
        report.usage.iter().map(|usage| usage.bottle.as_str()).collect();
    match bottles.len() {
        1 => "in 1 bottle".to_owned(),
        bottles => format!("in {bottles} bottles"),
    }
}

fn section(id: &str, title: &str, content: Markup) -> Markup {
    let heading = format!("{id}-heading");
    html! { section aria-labelledby=(heading) { h2 id=(heading) { (title) } (content) } }
}

fn budgets(report: &Report) -> Markup {
    html! {
        @if let Some(fault) = &report.fault { p class="nothing" { "The limits are not known: " (text(fault)) } }
        @else if report.budgets.is_empty() { p class="nothing" { "No limit is set." } }
        @else { (bars::budgets(report)) }
    }
}

fn stops(report: &Report) -> Markup {
    html! {
        @if report.stops.is_empty() { p class="nothing" { "Nothing was stopped in this time." } }
        @else {
            div class="scroll tall" tabindex="0" role="region" aria-label="What was stopped" {
                table class="events" {
                    caption { "Blocks and enforcement, newest first" }
                    thead { tr {
                        th scope="col" { "When" }
                        th scope="col" { "Bottle" }
                        th scope="col" { "What" }
                    } }
                    tbody { @for stop in report.stops.iter().rev() { tr {
                        td class="when" { time datetime=(instant(stop.at)) { (instant(stop.at)) } }
                        td { (text(&stop.bottle)) }
                        td class="words" { (text(&stop.text)) }
                    } } }
                }
            }
        }
    }
}

fn qualities(report: &Report) -> Markup {
    let there = |name: &str| report.qualities.iter().any(|part| part.name == name);
    html! {
        (bars::parts(&report.qualities, "Tokens by quality", "Quality"))
        dl class="meaning" {
            @for (name, meaning) in QUALITIES.iter().filter(|(name, _)| there(name)) {
                dt { (name) } dd { (meaning) }
            }
        }
    }
}

/// An instant, for people.
fn instant(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{milliseconds} ms"),
    }
}
