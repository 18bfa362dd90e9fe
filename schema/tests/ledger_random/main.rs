//! Any host of bottles, agents, runs and budgets, any sequence of requests, crashes, changes of limits and steps of the
//! clock, through several processes' ledgers in turn: after every step the ledger agrees with a model that knows
//! nothing of SQL, and no hard limit is passed by more than the stated bound.
//!
//! `PROPTEST_CASES` says how many; the usual number is for every day.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../ledger_support/mod.rs"]
mod ledger_support;
mod model;
mod proof;
mod story;
mod world;

use ledger_support::cases;
use proptest::prelude::*;
use story::Story;

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn sums_are_right_and_limits_are_kept(
        world in world::world(),
        steps in proptest::collection::vec(world::step(), 1..110),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut story = Story::begin(world).await;
            for step in &steps {
                story.step(step).await;
                story.check().await;
            }
            story.check_everything().await;
        });
    }
}
