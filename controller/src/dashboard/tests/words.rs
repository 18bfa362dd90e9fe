//! Numbers, times and sentences.

use crate::dashboard::format::{bar, clean, fit, span, tokens, wrap};
use crate::dashboard::sentence;
use hudson_schema::ledger::AuditRecord;
use hudson_schema::ledger::audit::FIRST;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

#[test]
fn numbers_and_spans_take_five_columns() {
    for (number, shown) in [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (1_250, "1.2k"),
        (99_999, "99.9k"),
        (123_456, "123k"),
        (1_500_000, "1.5M"),
        (u64::MAX / 1_000_000, "18.4T"),
    ] {
        assert_eq!(tokens(number), shown);
    }
    for (milliseconds, shown) in [
        (-5, "now"),
        (999, "now"),
        (12_000, "12s"),
        (300_000, "5m"),
        (11_520_000, "3h12m"),
        (90_000_000, "25h"),
        (260_000_000, "3d"),
    ] {
        assert_eq!(span(milliseconds), shown);
        assert!(shown.len() <= 5);
    }
    assert_eq!([bar(0, 4), bar(1, 4), bar(50, 4), bar(900, 4)], ["░░░░", "█░░░", "██░░", "████"]);
}

#[test]
fn what_does_not_fit_ends_in_an_ellipsis() {
    assert_eq!(fit("partly-stopped", 9), "partly-s…");
    assert_eq!(fit("ends here", 9), "ends here");
    assert_eq!(fit("a 漢字 name", 5).width(), 5);
    assert_eq!(wrap("one two three fourteenths", 7), ["one two", "three", "fourte…"]);
}

#[test]
fn nothing_that_was_read_is_an_order_to_the_terminal() {
    assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\nd"), "a·[2Jb·c·d");
}

#[test]
fn audit_rows_read_as_sentences() {
    let row = |kind: &str, actor: &str, data: Value| {
        sentence(&AuditRecord {
            seq: 1,
            ts: 0,
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            bottle: None,
            data: data.to_string(),
            prev_hash: FIRST,
            hash: FIRST,
        })
    };
    let run = "01a1f97d-c951-77cd-a25c-f881da572eee";
    let scope = json!({"kind": "bottle", "key": "ci"});
    for (kind, actor, data, told) in [
        ("run_start", "hudson", json!({"run": run, "agent": "bob"}), "run …da572eee of agent bob starts"),
        (
            "run_finish",
            "hudson",
            json!({"run": run, "exit_code": 77}),
            "run …da572eee ends with exit code 77",
        ),
        ("run_rotate", "hudson", json!({"run": run}), "run …da572eee got other credentials"),
        (
            "enforcement_plan",
            "hudson",
            json!({"run": run, "policy": "freeze", "scope": scope, "cause": "an operator's order"}),
            "freeze of run …da572eee is planned: an operator's order",
        ),
        (
            "enforcement_plan",
            "hudson",
            json!({"run": run, "policy": "resume", "scope": scope, "cause": "resumed by operator:0"}),
            "run …da572eee is to be brought back: resumed by operator:0",
        ),
        (
            "usage_charge",
            "hudson",
            json!({"run": run, "provider": "claude", "charged": 1234, "quality": "exact", "model": "m"}),
            "claude: 1,234 tokens charged (exact), m",
        ),
        (
            "block_place",
            "operator:0",
            json!({"scope": scope, "policy": "cutoff", "cause": "an operator's order"}),
            "cutoff of bottle ci by operator:0: an operator's order",
        ),
        (
            "block_lift",
            "operator:0",
            json!({"scope": scope, "policy": "cutoff"}),
            "cutoff of bottle ci is lifted by operator:0",
        ),
        (
            "budget_set",
            "operator:0",
            json!({"scope": {"kind": "global", "key": ""}, "provider": "any", "tokens": 5000}),
            "the host: any may use 5,000 tokens by operator:0",
        ),
        (
            "enforcement_advance",
            "hudson",
            json!({"run": run, "state": "done", "detail": "egress is cut"}),
            "enforcement at run …da572eee: done: egress is cut",
        ),
        ("of_tomorrow", "hudson", json!({"a": 1}), "of_tomorrow {\"a\":1}"),
    ] {
        assert_eq!(row(kind, actor, data), told);
    }
}
