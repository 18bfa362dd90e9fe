//! A short soak: proxies on one ledger are killed under load, and nothing is lost. `hudson-soak` is the long one.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hudson_tests::soak::{self, Budget, Plan, Reaper};

fn plan(budget: Budget) -> Plan {
    Plan {
        processes: 3,
        streams: 8,
        lasts: Duration::from_secs(4),
        kill_every: Duration::from_millis(1300),
        gap: Duration::from_millis(50),
        budget,
        reaper: Reaper::Successor,
        seed: 7,
    }
}

#[test]
fn nothing_is_lost_and_no_hold_is_left_when_proxies_are_killed_under_load() {
    let report = soak::run(&plan(Budget::Roomy), &AtomicBool::new(false)).expect("the scene can be set up");
    report!("{report}");
    assert!(report.faults.is_empty(), "{report}");
    assert!(report.kills >= 3, "two or more on the way, and three at the end: {report}");
    assert!(report.served >= 15, "the agents hardly asked: {report}");
    assert!(!report.reach.lowered.is_empty(), "no limit was changed: {report}");
}

#[test]
fn a_limit_that_is_reached_while_proxies_are_killed_holds_within_the_stated_bound() {
    let report = soak::run(&plan(Budget::Tight), &AtomicBool::new(false)).expect("the scene can be set up");
    report!("{report}");
    assert!(report.faults.is_empty(), "{report}");
    assert!(report.refused > 0, "no limit was reached: {report}");
}
