//! Any sequence of requests, settles, releases and deaths on a virtual clock keeps the sums right and the limits kept.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger_support;

use hudson_schema::ledger::*;
use hudson_schema::{Quality, ScopeKind};
use ledger_support::*;
use proptest::prelude::*;

const RUNS: [(&str, &str); 3] = [("r1", "ci"), ("r2", "web"), ("r3", "base")];
const LIMIT: u64 = 5000;
const DAILY: u64 = 2000;

#[derive(Clone, Debug)]
enum Step {
    Place { run: usize, input: u64, output: u64, codex: bool },
    Settle { hold: usize, input: u64, output: u64, exact: bool },
    SettleUnread { hold: usize },
    Release { hold: usize },
    Die,
    Wait { hours: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..RUNS.len(), 0..400_u64, 1..400_u64, any::<bool>())
            .prop_map(|(run, input, output, codex)| Step::Place { run, input, output, codex }),
        5 => (any::<usize>(), 0..500_u64, 0..400_u64, any::<bool>())
            .prop_map(|(hold, input, output, exact)| Step::Settle { hold, input, output, exact }),
        1 => any::<usize>().prop_map(|hold| Step::SettleUnread { hold }),
        1 => any::<usize>().prop_map(|hold| Step::Release { hold }),
        1 => Just(Step::Die),
        1 => (1..30_i64).prop_map(|hours| Step::Wait { hours }),
    ]
}

/// What the ledger must agree with.
struct Story {
    dir: tempfile::TempDir,
    ledger: SharedLedger,
    now: i64,
    /// Holds that may still be settled: placed, or reaped from a dead process.
    open: Vec<Hold>,
    /// By how much responses were larger than their holds: the stated bound on an overshoot.
    excess: u64,
}

impl Story {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(dir.path());
        for (name, bottle) in RUNS {
            let parents: &[&str] = if bottle == "base" { &[] } else { &["base"] };
            ledger.run_insert(run(name, bottle, None, parents)).await.unwrap();
        }
        Self { dir, ledger, now: NOW, open: Vec::new(), excess: 0 }
    }

    fn limits(&self, bottle: &str) -> Vec<AskedLimit> {
        let bottle = limit(ScopeKind::Bottle, bottle, "claude", DAILY);
        vec![daily(bottle, self.now), limit(ScopeKind::Global, "", "any", LIMIT)]
    }

    async fn step(&mut self, step: &Step) {
        let pick = |hold: usize, open: &Vec<Hold>| (!open.is_empty()).then(|| hold % open.len());
        match *step {
            Step::Place { run, input, output, codex } => {
                let (name, bottle) = RUNS[run];
                let mut request =
                    HoldRequest { now: self.now, ..ask(name, input, output, &self.limits(bottle)) };
                if codex {
                    request.provider = provider("codex");
                    request.limits.remove(0);
                }
                if let HoldOutcome::Placed(hold) = self.ledger.hold_place(request).await.unwrap() {
                    assert!(hold.output >= 1 && hold.output <= output);
                    assert_eq!(hold.tokens, input + hold.output);
                    self.open.push(hold);
                }
            }
            Step::Settle { hold, input, output, exact } => {
                let Some(index) = pick(hold, &self.open) else { return };
                let hold = self.open.remove(index);
                self.excess += (input + output).saturating_sub(hold.tokens);
                let mut done = settlement(&hold.id, Some(usage(input, output)), &self.limits("ci"));
                done.now = self.now;
                if !exact {
                    done.quality = Quality::Recovered;
                }
                let before = self.taken().await;
                self.ledger.usage_settle(done).await.unwrap();
                let after = self.taken().await;
                let used = if exact { input + output } else { hold.tokens.max(input + output) };
                assert_eq!(after + hold.tokens, before + used, "only what is exact gives some back");
            }
            Step::SettleUnread { hold } => {
                let Some(index) = pick(hold, &self.open) else { return };
                let hold = &self.open[index];
                self.ledger.usage_settle(settlement(&hold.id, None, &self.limits("web"))).await.unwrap();
            }
            Step::Release { hold } => {
                let Some(index) = pick(hold, &self.open) else { return };
                let hold = self.open[index].clone();
                self.ledger.hold_release(&hold.id).await.unwrap();
                // One that was charged before stays charged, and may still be settled.
                if self.settles_nothing(&hold).await {
                    self.open.remove(index);
                }
            }
            Step::Die => {
                self.ledger = open(self.dir.path());
                self.ledger.holds_reap(self.now).await.unwrap();
                let held =
                    self.ledger.budget_fetch(&hudson_schema::Scope::global(), &provider("any"), 0).await;
                assert_eq!(held.unwrap().held, 0);
            }
            Step::Wait { hours } => self.now += hours * 3600 * 1000,
        }
    }

    /// Whether a released hold was really given back.
    async fn settles_nothing(&self, hold: &Hold) -> bool {
        let settled = self.ledger.usage_settle(settlement(&hold.id, None, &[])).await;
        matches!(settled, Err(LedgerError::Missing { .. }))
    }

    /// What is spent or held.
    async fn taken(&self) -> u64 {
        let (spent, held) = balance(&*self.ledger, ScopeKind::Global, "", "any").await;
        spent + held
    }

    async fn check(&self) {
        let (spent, held) = balance(&*self.ledger, ScopeKind::Global, "", "any").await;
        assert!(spent + held <= LIMIT + self.excess, "{spent} + {held} > {LIMIT} + {}", self.excess);
        for (_, bottle) in RUNS {
            let today = &self.limits(bottle)[0];
            let balance =
                self.ledger.budget_fetch(&today.limit.scope, &today.limit.provider, today.window_start);
            let balance = balance.await.unwrap();
            assert!(balance.spent + balance.held <= DAILY + self.excess);
        }
        let by = vec![UsageColumn::Bottle];
        let sums = self.ledger.usage_sum(UsageQuery { by, ..UsageQuery::default() }).await.unwrap();
        assert_eq!(
            sums.iter().map(|sum| sum.charged).sum::<u64>(),
            spent,
            "the bottles together are the host"
        );
        assert_eq!(balance(&*self.ledger, ScopeKind::Parent, "base", "any").await, (spent, held));
        assert_totals(self.dir.path());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_right_and_limits_are_kept(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut story = Story::begin().await;
            for step in &steps {
                story.step(step).await;
                story.check().await;
            }
        });
    }
}
