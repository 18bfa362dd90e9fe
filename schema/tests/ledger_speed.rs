//! How long a hold and its settle take. Prints, asserts nothing about time:
//! `cargo test --release -p hudson-schema --test ledger_speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger_support;

use hudson_schema::ScopeKind;
use ledger_support::*;
use std::time::{Duration, Instant};

const ROUNDS: usize = 4000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn hold_and_settle() {
    for tasks in [1, 8, 64] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(dir.path());
        ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base"])).await.unwrap();
        let limits =
            [limit(ScopeKind::Bottle, "ci", "claude", 1 << 40), limit(ScopeKind::Global, "", "any", 1 << 40)];
        let begun = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let (ledger, limits) = (ledger.clone(), limits.clone());
            running.spawn(async move {
                let mut times = Vec::new();
                for _ in 0..ROUNDS / tasks {
                    let start = Instant::now();
                    let hold = placed(ledger.hold_place(ask("r1", 100, 100, &limits)).await.unwrap());
                    let held = start.elapsed();
                    ledger.usage_settle(settlement(&hold.id, Some(usage(100, 50)), &limits)).await.unwrap();
                    times.push((held, start.elapsed() - held));
                }
                times
            });
        }
        let times: Vec<_> = running.join_all().await.into_iter().flatten().collect();
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        let percentiles = |mut times: Vec<Duration>| {
            times.sort();
            (times[times.len() / 2], times[times.len() * 99 / 100])
        };
        let hold = percentiles(times.iter().map(|time| time.0).collect());
        let settle = percentiles(times.iter().map(|time| time.1).collect());
        let both = percentiles(times.iter().map(|time| time.0 + time.1).collect());
        println!(
            "{tasks:>2} tasks: hold {hold:?}, settle {settle:?}, both {both:?} (p50, p99), {rate:.0} requests/s"
        );
    }
}
