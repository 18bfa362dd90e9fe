//! The chart of days: bars of what was used each day, stacked by provider, and the same as a table.

use super::{Part, Report, colour, share};
use crate::dashboard::{exact_tokens, tokens};
use crate::report::page::text;
use maud::{Markup, html};

/// The drawing, in its own units: the room for bars, and what stands left of and below it.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 52.0;
const BELOW: f64 = 28.0;
const ABOVE: f64 = 10.0;
/// The most bars; longer times have several days in one.
const MOST: usize = 62;
/// Labels below the bars.
const LABELS: usize = 8;

/// One bar: its first and last day, and what each provider has of it.
struct Bar {
    first: String,
    last: String,
    used: Vec<u64>,
}

/// The chart.
pub(super) fn chart(report: &Report) -> Markup {
    let providers = report.providers();
    let bars = bars(report, &providers);
    let most = bars.iter().map(Bar::total).max().unwrap_or_default();
    let top = nice(most);
    let per_bar = bars.first().map_or(1, |_| report.days.len().div_ceil(MOST).max(1));
    html! {
        figure {
            (legend(&providers))
            div class="scroll" tabindex="0" role="region" aria-label="Chart of tokens by day" {
                svg class="days" viewBox=(format!("0 0 {} {}", LEFT + WIDTH, ABOVE + HEIGHT + BELOW)) role="img"
                    aria-labelledby="days-title days-text" {
                    title id="days-title" { "Tokens by day" }
                    desc id="days-text" { (summary(&bars, &providers)) }
                    (grid(top))
                    @for (index, bar) in bars.iter().enumerate() { (column(bar, index, bars.len(), top, &providers)) }
                    (labels(&bars))
                }
            }
            @if per_bar > 1 { figcaption { "Each bar is " (per_bar) " days." } }
        }
        (table(&bars, &providers))
    }
}

impl Bar {
    fn total(&self) -> u64 {
        self.used.iter().copied().fold(0, u64::saturating_add)
    }

    fn name(&self) -> String {
        if self.first == self.last { self.first.clone() } else { format!("{} to {}", self.first, self.last) }
    }
}

fn bars(report: &Report, providers: &[Part]) -> Vec<Bar> {
    let size = report.days.len().div_ceil(MOST).max(1);
    let mut bars: Vec<Bar> = report
        .days
        .chunks(size)
        .filter_map(|days| {
            let (first, last) = (days.first()?.clone(), days.last()?.clone());
            Some(Bar { first, last, used: vec![0; providers.len()] })
        })
        .collect();
    for usage in &report.usage {
        let rank = providers.iter().position(|provider| provider.name == usage.provider);
        // Days are ordered as their names are.
        let bar = bars.iter_mut().find(|bar| bar.first <= usage.day && usage.day <= bar.last);
        if let Some(used) = bar.and_then(|bar| bar.used.get_mut(rank?)) {
            *used = used.saturating_add(usage.sum.tokens);
        }
    }
    bars
}

fn legend(providers: &[Part]) -> Markup {
    html! {
        ul class="legend" {
            @for (rank, provider) in providers.iter().enumerate() {
                li {
                    svg class="key" viewBox="0 0 10 10" aria-hidden="true" {
                        rect width="10" height="10" class=(colour(rank)) {}
                    }
                    (text(&provider.name))
                }
            }
        }
    }
}

/// Lines to read the height of bars by.
fn grid(top: u64) -> Markup {
    let line = |quarter: u64| {
        let value = top / 4 * quarter;
        (ABOVE + HEIGHT * (1.0 - share(value, top)), value)
    };
    html! {
        @if top > 0 {
            @for (y, value) in (0..=4).map(line) {
                line x1=(place(LEFT)) x2=(place(LEFT + WIDTH)) y1=(place(y)) y2=(place(y)) class="grid" {}
                text x=(place(LEFT - 8.0)) y=(place(y + 4.0)) class="axis end" { (tokens(value)) }
            }
        }
    }
}

fn column(bar: &Bar, index: usize, all: usize, top: u64, providers: &[Part]) -> Markup {
    let step = WIDTH / all.max(1) as f64;
    let width = (step * 0.78).min(48.0);
    let x = LEFT + step * index as f64 + (step - width) / 2.0;
    let mut bottom = ABOVE + HEIGHT;
    let mut placed = Vec::new();
    for (rank, used) in bar.used.iter().enumerate().filter(|(_, used)| **used > 0) {
        let height = HEIGHT * share(*used, top);
        bottom -= height;
        placed.push((rank, *used, bottom, height));
    }
    html! {
        g {
            @for (rank, used, y, height) in placed {
                rect x=(place(x)) y=(place(y)) width=(place(width)) height=(place(height)) class=(colour(rank)) {
                    title {
                        (bar.name()) ", "
                        (text(providers.get(rank).map_or("", |provider| provider.name.as_str())))
                        ": " (exact_tokens(used)) " tokens"
                    }
                }
            }
        }
    }
}

fn labels(bars: &[Bar]) -> Markup {
    let step = WIDTH / bars.len().max(1) as f64;
    let every = bars.len().div_ceil(LABELS).max(1);
    html! {
        @for (index, bar) in bars.iter().enumerate().step_by(every) {
            text x=(place(LEFT + step * (index as f64 + 0.5))) y=(place(ABOVE + HEIGHT + 20.0)) class="axis middle" {
                (bar.first.get(5..).unwrap_or(&bar.first))
            }
        }
    }
}

/// The chart in words.
fn summary(bars: &[Bar], providers: &[Part]) -> String {
    let Some(most) = bars.iter().max_by_key(|bar| bar.total()).filter(|bar| bar.total() > 0) else {
        return "Nothing was used.".to_owned();
    };
    let names: Vec<String> = providers.iter().map(|provider| text(&provider.name).0).collect();
    format!(
        "Stacked bars of the tokens of {}. Most were used on {}: {} tokens. The table has every number.",
        names.join(", "),
        most.name(),
        exact_tokens(most.total())
    )
}

fn table(bars: &[Bar], providers: &[Part]) -> Markup {
    html! {
        div class="scroll tall" tabindex="0" role="region" aria-label="Table of tokens by day" {
            table {
                caption { "Tokens by day (UTC) and provider" }
                thead { tr {
                    th scope="col" { "Day" }
                    @for provider in providers { th scope="col" class="number" { (text(&provider.name)) } }
                    th scope="col" class="number" { "All" }
                } }
                tbody { @for bar in bars.iter().rev().filter(|bar| bar.total() > 0) { tr {
                    th scope="row" { (bar.name()) }
                    @for used in &bar.used { td class="number" { (exact_tokens(*used)) } }
                    td class="number" { (exact_tokens(bar.total())) }
                } } }
            }
        }
    }
}

/// The least number for the top of an axis whose quarters are round.
fn nice(most: u64) -> u64 {
    if most == 0 {
        return 0;
    }
    let mut power: u64 = 1;
    loop {
        for tenths in [10, 15, 20, 25, 30, 40, 50, 60, 80] {
            // A quarter of a small axis is at least one token.
            let quarter = (power * tenths).div_ceil(10);
            if let Some(top) = quarter.checked_mul(4).filter(|top| *top >= most) {
                return top;
            }
        }
        match power.checked_mul(10).filter(|power| power.checked_mul(80).is_some()) {
            Some(next) => power = next,
            None => return u64::MAX,
        }
    }
}

fn place(number: f64) -> String {
    format!("{number:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_bars() {
        for (most, top) in
            [(0, 0), (1, 4), (5, 8), (11, 12), (1_000, 1_000), (1_001, 1_200), (12_600_000, 16_000_000)]
        {
            assert_eq!(nice(most), top, "{most}");
        }
        assert_eq!(nice(u64::MAX), u64::MAX);
    }
}
