//! The promises of the page, on figures that never change.

use super::page::body;
use super::{Budget, Part, Report, Stop, Sum, Usage, html};
use insta::assert_snapshot;

const DAY: i64 = 86_400_000;
/// 2026-11-01.
const START: i64 = 1_793_491_200_000;

fn sum(tokens: u64) -> Sum {
    Sum { tokens, charged: tokens, requests: tokens / 1_000, inexact: tokens / 100_000 }
}

fn part(name: &str, tokens: u64) -> Part {
    Part { name: name.to_owned(), sum: sum(tokens) }
}

fn usage(bottle: &str, provider: &str, day: u8, tokens: u64) -> Usage {
    Usage {
        bottle: bottle.to_owned(),
        provider: provider.to_owned(),
        day: format!("2026-11-{day:02}"),
        sum: sum(tokens),
    }
}

fn report() -> Report {
    Report {
        home: "/home/me/.bot-bottle".to_owned(),
        bottle: None,
        since: START,
        until: START + 3 * DAY,
        made_at: START + 3 * DAY + 60_000,
        days: (1..=3).map(|day| format!("2026-11-{day:02}")).collect(),
        usage: vec![
            usage("ci", "claude", 1, 900_000),
            usage("ci", "codex", 2, 400_000),
            usage("docs", "claude", 3, 250_000),
        ],
        qualities: vec![part("exact", 1_500_000), part("recovered", 50_000)],
        models: vec![part("claude-sonnet-4-5", 1_150_000), part("", 400_000)],
        hosts: vec![part("api.anthropic.com", 1_150_000), part("api.openai.com", 400_000)],
        warn_at: Some(80),
        budgets: vec![
            Budget {
                scope: "the whole host".to_owned(),
                provider: "any".to_owned(),
                limit: 10_000_000,
                spent: 1_550_000,
                held: 500_000,
                window: "month".to_owned(),
                resets_at: "2026-12-01T00:00:00Z".to_owned(),
            },
            Budget {
                scope: "bottle ci".to_owned(),
                provider: "claude".to_owned(),
                limit: 900_000,
                spent: 900_000,
                window: "lifetime".to_owned(),
                ..Budget::default()
            },
            Budget { scope: "bottle none".to_owned(), window: "day".to_owned(), ..Budget::default() },
        ],
        stops: vec![Stop {
            at: START + DAY,
            bottle: "ci".to_owned(),
            text: "cutoff of bottle ci: 900,000 of 900,000 tokens are spent".to_owned(),
        }],
        fault: None,
    }
}

#[test]
fn the_page_tells_everything() {
    assert_snapshot!(
        body(&report()).into_string().replace("><", ">\n<").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

#[test]
fn nothing_is_told_as_nothing() {
    let page = html(&Report { since: START, until: START + DAY, ..Report::default() });
    for told in ["Nothing was used", "No limit is set", "Nothing was stopped", "0 %"] {
        assert!(page.contains(told), "{told}");
    }
    assert!(!page.contains("<rect"));
    let faulty = html(&Report { fault: Some("settings.yml:1:1: <bad>".to_owned()), ..Report::default() });
    assert!(faulty.contains("The limits are not known: settings.yml:1:1: &lt;bad&gt;"), "{faulty}");
}

#[test]
fn no_text_is_markup_wherever_it_stands() {
    let evil = "\"><script>alert(1)</script><img src=x onerror='a()'>\u{202e}&lt;\u{0}";
    let named = |tokens| Part { name: evil.to_owned(), sum: sum(tokens) };
    let page = html(&Report {
        home: evil.to_owned(),
        bottle: Some(evil.to_owned()),
        usage: vec![Usage {
            bottle: evil.to_owned(),
            provider: evil.to_owned(),
            day: "2026-11-01".to_owned(),
            sum: sum(5_000),
        }],
        qualities: vec![named(1)],
        models: vec![named(2)],
        hosts: vec![named(3)],
        budgets: vec![Budget {
            scope: evil.to_owned(),
            provider: evil.to_owned(),
            window: evil.to_owned(),
            resets_at: evil.to_owned(),
            ..Budget::default()
        }],
        stops: vec![Stop { at: START, bottle: evil.to_owned(), text: evil.to_owned() }],
        ..report()
    });
    for markup in ["<script", "<img", "onerror='a()'>", "\u{202e}", "\u{0}"] {
        assert!(!page.contains(markup), "{markup:?}");
    }
    // It is told all the same, and stays inside of its attribute.
    assert!(page.matches("&quot;&gt;&lt;script&gt;alert(1)").count() > 10, "{page}");
}

#[test]
fn the_page_asks_for_nothing_and_runs_nothing() {
    let page = html(&report());
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""));
    for way_out in ["http://", "https://", "url(", "@import", "src=", "<script", "<link", "<a ", " on"] {
        let found = page.matches(way_out).count();
        // The one that is there is a word of a sentence.
        let words = if way_out == " on" {
            page.matches(" on 2026").count() + page.matches(" on&").count()
        } else {
            0
        };
        assert_eq!(found, words, "{way_out:?}");
    }
}

#[test]
fn a_long_time_has_few_bars_and_loses_no_token() {
    let days: Vec<String> = (0..400).map(|day| format!("day-{day:03}")).collect();
    let used = days.iter().map(|day| Usage { day: day.clone(), ..usage("ci", "claude", 1, 1_000) });
    let page = html(&Report { usage: used.collect(), days, ..report() });
    let chart = page.split("class=\"days\"").nth(1).unwrap().split("</svg>").next().unwrap();
    assert_eq!(chart.matches("<rect").count(), 58);
    assert!(page.contains("Each bar is 7 days.") && page.contains(">400,000<"), "{chart}");
}
