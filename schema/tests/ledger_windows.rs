//! The ledger and its windows: usage stays in the window of its hold, whatever the clock does and whatever becomes of
//! limits, windows and zones.
//!
//! Usage counts in every window that began before it, so a clock that steps back finds no room that was used up later:
//! it may be stricter for a while, and is never looser.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::ScopeKind;
use hudson_schema::budget::{Window, WindowClock};
use hudson_schema::ledger::*;
use ledger_support::*;
use proptest::prelude::*;

const MINUTE: i64 = 60 * 1000;
const SPANS: [Window; 4] = [Window::Day, Window::Week, Window::Month, Window::Lifetime];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"];

story! { sqlite, crate::ledger_support::on_sqlite:
    what_is_settled_after_a_reset_is_charged_before_it
    what_is_reaped_after_a_reset_is_charged_before_it
    a_clock_that_steps_back_finds_every_token_once_and_no_new_room
    a_block_ends_with_its_window_and_not_by_a_clock_that_steps_back
    a_change_of_limit_window_or_zone_erases_nothing
}

/// The window of `zone` that holds `now`, as a limit of the bottle `ci`.
fn asked(zone: &str, window: Window, tokens: u64, now: i64) -> AskedLimit {
    let clock = WindowClock::new(zone).unwrap();
    let mut asked = limit(ScopeKind::Bottle, "ci", "any", tokens);
    asked.limit.window = window;
    asked.window_start = clock.start(window, now);
    asked.window_end = clock.end(window, now);
    asked
}

/// The first reset of a day in Berlin behind the tests' clock.
fn reset() -> i64 {
    asked("Europe/Berlin", Window::Day, 0, NOW).window_end.unwrap()
}

fn today(tokens: u64, now: i64) -> [AskedLimit; 1] {
    [asked("Europe/Berlin", Window::Day, tokens, now)]
}

async fn place(ledger: &dyn Ledger, input: u64, limits: &[AskedLimit], now: i64) -> HoldOutcome {
    ledger.hold_place(HoldRequest { now, ..ask("r1", input, 1, limits) }).await.unwrap()
}

async fn settle(ledger: &dyn Ledger, hold: &Hold, tokens: u64, limits: &[AskedLimit], now: i64) -> Settled {
    let done = Settlement { now, ..settlement(&hold.id, Some(usage(tokens, 0)), limits) };
    ledger.usage_settle(done).await.unwrap()
}

async fn used(ledger: &dyn Ledger, tokens: u64, now: i64) {
    let hold = placed(place(ledger, tokens, &[], now).await);
    settle(ledger, &hold, tokens, &[], now).await;
}

async fn since(ledger: &dyn Ledger, asked: &AskedLimit) -> (u64, u64) {
    let balance = ledger.budget_fetch(&asked.limit.scope, &asked.limit.provider, asked.window_start).await;
    let Balance { spent, held } = balance.unwrap();
    (spent, held)
}

async fn what_is_settled_after_a_reset_is_charged_before_it(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (before, after) = (reset() - 1, reset());
    let (yesterday, today) = (today(1000, before), today(1000, after));
    let hold = placed(place(&*ledger, 899, &yesterday, before).await);
    assert_eq!(since(&*ledger, &today[0]).await, (0, 0), "it is in flight, but not of this day");
    assert_eq!(since(&*ledger, &yesterday[0]).await, (0, 900));

    // More than a whole budget, found by the limits of the new day: nothing of it is crossed.
    let settled = settle(&*ledger, &hold, 1200, &today, after + 5).await;
    assert_eq!(settled, Settled::default());
    assert_eq!(since(&*ledger, &today[0]).await, (0, 0));
    assert_eq!(since(&*ledger, &yesterday[0]).await, (1200, 0));
    let hold = placed(place(&*ledger, 999, &today, after + 6).await);
    assert_eq!(hold.left, Some(0), "the new day is whole");
    let rows = ledger.usage_list(UsageQuery::default()).await.unwrap();
    assert_eq!((rows[0].started_at, rows[0].finished_at), (before, after + 5));
}

async fn what_is_reaped_after_a_reset_is_charged_before_it(open: Open<'_>) {
    let (ledger, doomed) = (open(), open());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (before, after) = (reset() - 1, reset() + MINUTE);
    let hold = placed(place(&*doomed, 99, &today(1000, before), before).await);
    drop(doomed);
    assert_eq!(ledger.holds_reap(after).await.unwrap(), 1);
    assert_eq!(since(&*ledger, &today(1000, before)[0]).await, (100, 0));
    assert_eq!(since(&*ledger, &today(1000, after)[0]).await, (0, 0));
    // Its own settle comes after all.
    settle(&*ledger, &hold, 70, &today(1000, after), after + 1).await;
    assert_eq!(since(&*ledger, &today(1000, before)[0]).await, (70, 0));
    assert_eq!(since(&*ledger, &today(1000, after)[0]).await, (0, 0));
}

async fn a_clock_that_steps_back_finds_every_token_once_and_no_new_room(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (before, after) = (reset() - MINUTE, reset() + MINUTE);
    let lifetime = asked("UTC", Window::Lifetime, 0, NOW);
    used(&*ledger, 300, before).await;
    used(&*ledger, 500, after).await;
    let flying = placed(place(&*ledger, 99, &today(1000, after), after).await);

    // Two minutes back, over the reset.
    let yesterday = today(1000, before);
    assert_eq!(since(&*ledger, &yesterday[0]).await, (800, 100), "what was used later is used");
    let Exhausted { spent, held, crossed, .. } = exhausted(place(&*ledger, 150, &yesterday, before).await);
    assert_eq!((spent, held, crossed), (800, 100, false), "and leaves no room");
    let hold = placed(place(&*ledger, 49, &yesterday, before).await);
    settle(&*ledger, &hold, 50, &yesterday, before + 1).await;
    settle(&*ledger, &flying, 100, &yesterday, before + 2).await;

    // And forwards again: each day has its own, and all of them once.
    assert_eq!(since(&*ledger, &today(1000, after)[0]).await, (600, 0));
    assert_eq!(since(&*ledger, &lifetime).await, (950, 0));
    let mut charged: Vec<_> = ledger.usage_list(UsageQuery::default()).await.unwrap();
    charged.sort_by_key(|row| row.charged);
    let charged: Vec<_> = charged.iter().map(|row| (row.charged, row.started_at)).collect();
    assert_eq!(charged, [(50, before), (100, after), (300, before), (500, after)]);
}

async fn a_block_ends_with_its_window_and_not_by_a_clock_that_steps_back(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (before, after) = (reset() - MINUTE, reset() + MINUTE);
    let (yesterday, now) = (today(1000, before), today(1000, after));
    let in_force = [in_force(&yesterday[0])];
    let stands = async |limits: &[AskedLimit], at: i64| {
        !ledger.block_fetch(&id("r1"), limits, at).await.unwrap().is_empty()
    };
    used(&*ledger, 1000, before).await;
    assert!(exhausted(place(&*ledger, 1, &yesterday, before).await).crossed);

    // A clock that steps back a day within the block's life, or to the very start of its window, frees nothing.
    for earlier in [before - MINUTE, yesterday[0].window_start, before - DAY] {
        ledger.block_reconsider(&in_force, earlier).await.unwrap();
        blocked(place(&*ledger, 1, &yesterday, earlier).await);
        assert!(stands(&yesterday, earlier).await, "{earlier}");
        // Not by the limit of that earlier day either: what was used since leaves no room.
        let outcome = place(&*ledger, 1, &today(1000, earlier), earlier).await;
        assert!(!matches!(outcome, HoldOutcome::Placed(_)), "{outcome:?}");
        assert!(stands(&yesterday, before).await, "the clock is right again");
    }
    // The reset lifts it, and only it.
    ledger.block_reconsider(&in_force, after).await.unwrap();
    assert!(!stands(&now, after).await);
    let hold = placed(place(&*ledger, 999, &now, after).await);
    assert_eq!(settle(&*ledger, &hold, 1000, &now, after).await.crossings.len(), 1);

    // Back over the reset: the new day's block is neither lifted nor needed to refuse, and then stands again.
    blocked(place(&*ledger, 1, &now, after).await);
    assert!(exhausted(place(&*ledger, 1, &yesterday, before).await).crossed, "yesterday is spent still");
    ledger.block_reconsider(&in_force, before).await.unwrap();
    blocked(place(&*ledger, 1, &yesterday, before + 1).await);
    blocked(place(&*ledger, 1, &now, after + 1).await);
    let audit = ledger.audit_list(0, usize::MAX).await.unwrap();
    let blocks = audit.iter().filter(|row| row.kind == "block_place").count();
    assert_eq!(blocks, 4, "the three days that were found spent, and one of them again");
}

async fn a_change_of_limit_window_or_zone_erases_nothing(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    // One token more each day, for ten weeks.
    let days: Vec<i64> = (0..70).map(|day| NOW + day * DAY).collect();
    for (day, now) in days.iter().enumerate() {
        used(&*ledger, 1 + day as u64, *now).await;
    }
    let now = *days.last().unwrap();
    let expected = |asked: &AskedLimit| -> u64 {
        let inside = |at: &&i64| **at >= asked.window_start;
        days.iter().filter(inside).map(|at| 1 + ((at - NOW) / DAY) as u64).sum()
    };
    for tokens in [10_000, 100, 1, 20_000] {
        for zone in ZONES {
            for window in SPANS {
                let asked = asked(zone, window, tokens, now);
                let spent = expected(&asked);
                let outcome = place(&*ledger, 0, std::slice::from_ref(&asked), now).await;
                match outcome {
                    HoldOutcome::Placed(hold) => {
                        assert_eq!(hold.left, Some(tokens - spent - 1), "{zone} {asked:?}");
                        ledger.hold_release(&hold.id).await.unwrap();
                    }
                    _ => assert!(spent >= tokens, "{zone} {asked:?}"),
                }
                assert_eq!(since(&*ledger, &asked).await, (spent, 0), "{zone} {asked:?}");
            }
        }
    }
    // Windows of the past and the lifetime are what they were.
    for (day, at) in days.iter().enumerate() {
        let rows = ledger.usage_list(UsageQuery { since: Some(*at), ..UsageQuery::default() }).await.unwrap();
        assert_eq!((rows.len(), rows[0].charged), (70 - day, 1 + day as u64));
    }
    assert_eq!(since(&*ledger, &asked("UTC", Window::Lifetime, 0, now)).await, (70 * 71 / 2, 0));
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn whatever_the_clock_does_a_window_has_the_usage_since_it_began(
        zone in proptest::sample::select(ZONES.as_slice()),
        steps in proptest::collection::vec((-40 * DAY..41 * DAY, 1..500_u64), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let ledger = open(dir.path());
            ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
            let mut rows = Vec::new();
            let mut now = NOW;
            for (step, tokens) in steps {
                now += step;
                used(&*ledger, tokens, now).await;
                rows.push((now, tokens));
                for window in SPANS {
                    let asked = asked(zone, window, 1 << 40, now);
                    let spent = rows.iter().filter(|row| row.0 >= asked.window_start).map(|row| row.1).sum();
                    assert_eq!(since(&*ledger, &asked).await, (spent, 0), "read at {now}: {asked:?}");
                    let hold = placed(place(&*ledger, 0, &[asked], now).await);
                    assert_eq!(hold.left, Some((1 << 40) - spent - 1), "asked at {now}");
                    ledger.hold_release(&hold.id).await.unwrap();
                }
            }
            assert_totals(dir.path());
        });
    }
}
