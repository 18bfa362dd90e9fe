//! Limits that change while runs live: what is set, what that lifts, what it stops, and of what is warned.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::budget::{Amount, BudgetOverride};
use hudson_schema::ledger::*;
use hudson_schema::{Scope, ScopeKind};
use ledger_support::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process that is to be killed.
const DOOMED: &str = "HUDSON_TEST_DOOMED_BUDGETS";
const ACTOR: &str = "operator:1000";
const WARN_AT: [u8; 2] = [80, 95];

story! { sqlite, crate::ledger_support::on_sqlite:
    what_is_set_stands_until_it_is_cleared
    lowering_stops_at_once_and_raising_frees_each_time
    what_was_short_of_room_is_not_freed_by_the_limit_that_it_met
    a_limit_that_is_taken_away_frees
    a_limit_that_was_raised_meanwhile_is_not_crossed
    a_process_that_has_not_seen_a_lowered_limit_lifts_nothing
    a_lowered_limit_stops_every_run_of_its_scope
    a_threshold_is_warned_of_once
}

fn set(kind: ScopeKind, key: &str, counted: &str, tokens: u64) -> BudgetOverride {
    BudgetOverride {
        scope: Scope::new(kind, key),
        provider: provider(counted),
        tokens: Amount(tokens),
        set_at: NOW,
        actor: ACTOR.to_owned(),
    }
}

/// What a process does that finds these limits in force.
async fn changed(ledger: &dyn Ledger, name: &str, limits: &[AskedLimit], now: i64) -> Reviewed {
    let in_force: Vec<_> = limits.iter().map(in_force).collect();
    ledger.block_reconsider(&in_force, now).await.unwrap();
    let review = LimitReview { governing: limits.to_vec(), warn_at: WARN_AT.to_vec() };
    ledger.budget_review(&id(name), review, now).await.unwrap()
}

fn at(asked: &AskedLimit, tokens: u64) -> AskedLimit {
    let mut asked = asked.clone();
    asked.limit.tokens = tokens;
    asked
}

async fn what_is_set_stands_until_it_is_cleared(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    let global = set(ScopeKind::Global, "", "any", 7);
    let both = vec![set(ScopeKind::Bottle, "ci", "claude", 100), set(ScopeKind::Bottle, "ci", "codex", 200)];
    ledger.budget_override_set(both.clone()).await.unwrap();
    ledger.budget_override_set(vec![global.clone()]).await.unwrap();
    assert_eq!(other.budget_override_list().await.unwrap(), [both.clone(), vec![global.clone()]].concat());

    let more = set(ScopeKind::Bottle, "ci", "claude", 150);
    ledger.budget_override_set(vec![more.clone()]).await.unwrap();
    let ci = Scope::new(ScopeKind::Bottle, "ci");
    let cleared = other.budget_override_clear(&ci, &[provider("claude")], ACTOR, NOW + 1).await.unwrap();
    assert_eq!(cleared, [more]);
    assert_eq!(ledger.budget_override_clear(&ci, &[], ACTOR, NOW + 1).await.unwrap(), both[1..]);
    assert_eq!(ledger.budget_override_clear(&ci, &[], ACTOR, NOW + 1).await.unwrap(), []);
    assert_eq!(ledger.budget_override_list().await.unwrap(), [global]);

    let audit = ledger.audit_list(0, 100).await.unwrap();
    let told: Vec<_> = audit.iter().map(|row| (row.kind.as_str(), row.actor.as_str())).collect();
    assert_eq!(told, [vec![("budget_set", ACTOR); 4], vec![("budget_clear", ACTOR); 2]].concat());
    assert_eq!(
        (audit[0].bottle.as_deref(), audit[0].data.as_str()),
        (Some("ci"), r#"{"scope":{"kind":"bottle","key":"ci"},"provider":"claude","tokens":100}"#)
    );
}

async fn lowering_stops_at_once_and_raising_frees_each_time(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let bottle = limit(ScopeKind::Bottle, "ci", "claude", 0);
    spend(&*ledger, "r1", 150, 0, &[at(&bottle, 1000)]).await;
    for (tokens, crossings, stopped) in [
        (200, 0, false),
        (100, 1, true),
        (100, 0, true),
        (90, 0, true),
        (200, 0, false),
        (100, 1, true),
        // More, but spent as well.
        (150, 1, true),
        (151, 0, false),
        (0, 1, true),
    ] {
        let now = [at(&bottle, tokens)];
        let found = changed(&*ledger, "r1", &now, NOW).await;
        assert_eq!(found.crossings.len(), crossings, "{tokens}");
        let block = ledger.block_fetch(&id("r1"), &now, NOW).await.unwrap().into_iter().next();
        assert_eq!(block.is_some(), stopped, "{tokens}");
        assert_eq!(ledger.block_list().await.unwrap().len(), usize::from(stopped), "{tokens}");
        assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (150, 0));
    }
    let planned = ledger.enforcement_list(Some(&id("r1"))).await.unwrap();
    assert_eq!(planned.len(), 4, "one for each crossing: {planned:#?}");
}

async fn what_was_short_of_room_is_not_freed_by_the_limit_that_it_met(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let own = limit(ScopeKind::Run, "r1", "claude", 100);
    spend(&*ledger, "r1", 95, 0, std::slice::from_ref(&own)).await;
    assert!(
        exhausted(ledger.hold_place(ask("r1", 50, 1, std::slice::from_ref(&own))).await.unwrap()).crossed
    );
    for (tokens, stopped) in [(100, true), (98, true), (100, true), (101, false)] {
        let now = [at(&own, tokens)];
        assert_eq!(changed(&*ledger, "r1", &now, NOW).await.crossings, []);
        assert_eq!(
            ledger.block_fetch(&id("r1"), &now, NOW).await.unwrap().into_iter().next().is_some(),
            stopped,
            "{tokens}"
        );
    }
    assert_eq!(ledger.enforcement_list(None).await.unwrap().len(), 1);
}

async fn a_limit_that_is_taken_away_frees(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let [ci, web] = ["ci", "web"].map(|bottle| limit(ScopeKind::Bottle, bottle, "claude", 100));
    spend(&*ledger, "r1", 100, 0, std::slice::from_ref(&ci)).await;
    let gone = |asked: &AskedLimit| LimitInForce { tokens: None, ..in_force(asked) };
    ledger.block_reconsider(&[gone(&web)], NOW).await.unwrap();
    assert_eq!(ledger.block_list().await.unwrap().len(), 1, "of another bottle");
    ledger.block_reconsider(&[gone(&ci)], NOW).await.unwrap();
    assert_eq!(ledger.block_list().await.unwrap(), []);
}

async fn a_process_that_has_not_seen_a_lowered_limit_lifts_nothing(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let before = [limit(ScopeKind::Bottle, "ci", "claude", 1000)];
    spend(&*ledger, "r1", 150, 0, &before).await;
    ledger.budget_override_set(vec![set(ScopeKind::Bottle, "ci", "claude", 100)]).await.unwrap();
    assert_eq!(changed(&*ledger, "r1", &[at(&before[0], 100)], NOW).await.crossings.len(), 1);

    assert_eq!(changed(&*ledger, "r1", &before, NOW).await.crossings, []);
    ledger.block_plan(&id("r1"), &before, NOW).await.unwrap();
    assert_eq!(ledger.block_list().await.unwrap().len(), 1);
    ledger.budget_override_set(vec![set(ScopeKind::Bottle, "ci", "claude", 1000)]).await.unwrap();
    changed(&*ledger, "r1", &before, NOW).await;
    assert_eq!(ledger.block_list().await.unwrap(), []);
}

async fn a_limit_that_was_raised_meanwhile_is_not_crossed(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    ledger.budget_override_set(vec![set(ScopeKind::Bottle, "ci", "claude", 200)]).await.unwrap();
    // Another process still goes by the limit in the file, and would have the run killed.
    let old = limit(ScopeKind::Bottle, "ci", "claude", 100);
    assert_eq!(spend(&*ledger, "r1", 150, 0, std::slice::from_ref(&old)).await, []);
    exhausted(ledger.hold_place(ask("r1", 1, 1, &[old])).await.unwrap());
    assert_eq!(ledger.block_list().await.unwrap(), []);
    let new = limit(ScopeKind::Bottle, "ci", "claude", 200);
    assert_eq!(spend(&*ledger, "r1", 50, 0, &[new]).await.len(), 1);
}

async fn a_lowered_limit_stops_every_run_of_its_scope(open: Open<'_>) {
    let ledger = open();
    for name in ["r1", "r2", "over"] {
        ledger.run_insert(run(name, "ci", None, &[])).await.unwrap();
    }
    spend(&*ledger, "r1", 100, 0, &[]).await;
    ledger.run_finish(&id("over"), NOW, None).await.unwrap();
    let lowered = [limit(ScopeKind::Global, "", "any", 50)];
    assert_eq!(changed(&*ledger, "over", &lowered, NOW).await, Reviewed::default(), "it has ended");
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..8 {
        let (ledger, lowered) = (open(), lowered.clone());
        let name = ["r1", "r2"][index % 2];
        tasks.spawn(async move { changed(&*ledger, name, &lowered, NOW).await.crossings.len() });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 1);
    let planned = ledger.enforcement_list(None).await.unwrap();
    let mut names: Vec<_> = planned.iter().map(|row| row.run_id.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["r1", "r2"], "once each");
}

async fn a_threshold_is_warned_of_once(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let asked = [limit(ScopeKind::Bottle, "ci", "any", 1000)];
    let settle = async |ledger: &SharedLedger, tokens, asked: &[AskedLimit]| {
        let hold = placed(ledger.hold_place(ask("r1", tokens, 1, &[])).await.unwrap());
        let done =
            Settlement { warn_at: WARN_AT.to_vec(), ..settlement(&hold.id, Some(usage(tokens, 0)), asked) };
        ledger.usage_settle(done).await.unwrap().warnings
    };
    assert_eq!(settle(&ledger, 799, &asked).await, []);
    // Eight processes pass it at once.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (ledger, asked) = (open(), asked.clone());
        tasks.spawn(async move {
            let hold = placed(ledger.hold_place(ask("r1", 1, 1, &[])).await.unwrap());
            let done =
                Settlement { warn_at: WARN_AT.to_vec(), ..settlement(&hold.id, Some(usage(1, 0)), &asked) };
            ledger.usage_settle(done).await.unwrap().warnings
        });
    }
    let given: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(given, [Warning { limit: asked[0].clone(), spent: 800, percent: 80 }]);
    // A raised limit is warned of anew, and so is a lowered one at once: by the highest threshold that it has passed.
    let raised = [at(&asked[0], 1010)];
    let percents = |warnings: Vec<Warning>| warnings.iter().map(|one| one.percent).collect::<Vec<_>>();
    assert_eq!(percents(changed(&*ledger, "r1", &[at(&asked[0], 1010)], NOW).await.warnings), [0; 0]);
    assert_eq!(percents(settle(&ledger, 1, &raised).await), [80]);
    assert_eq!(percents(changed(&*ledger, "r1", &[at(&asked[0], 820)], NOW).await.warnings), [95]);
    assert_eq!(percents(changed(&*ledger, "r1", &[at(&asked[0], 820)], NOW).await.warnings), [0; 0]);
    // So is another window of the same limit.
    let today = [daily(asked[0].clone(), NOW)];
    assert_eq!(percents(settle(&ledger, 1, &today).await), [80]);
}

#[tokio::test]
async fn what_an_older_version_has_enforced_is_not_enforced_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bot-bottle.db");
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 100)];
    {
        let connection = rusqlite::Connection::open(&path).unwrap();
        for name in ["0001_ledger", "0002_retrieval_and_holds", "0003_audit"] {
            let file = format!("{}/migrations/{name}.sql", env!("CARGO_MANIFEST_DIR"));
            connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
        connection
            .execute_batch(
                "PRAGMA application_id = 0x4875646e; INSERT INTO schema_version VALUES (1, 0), (2, 0), (3, 0);
                 INSERT INTO runs VALUES ('r1', 'ci', NULL, NULL, zeroblob(32), '{}', 0, NULL, NULL);
                 INSERT INTO run_scopes VALUES ('r1', 'bottle', 'ci', 2);
                 INSERT INTO blocks VALUES (7, 'bottle', 'ci', 'claude', 0, NULL, 'kill', 'spent', 100, 100, 5);
                 INSERT INTO enforcements (id, run_id, bottle, policy, scope, cause, state, created_at, scope_key,
                     provider, window_start, limit_tokens)
                 VALUES (3, 'r1', 'ci', 'kill', 'bottle', 'earlier', 'done', 1, 'ci', 'claude', 0, 50),
                        (4, 'r1', 'ci', 'kill', 'bottle', 'spent', 'done', 5, 'ci', 'claude', 0, 100);",
            )
            .unwrap();
    }
    let reading = hudson_schema::ledger::sqlite::SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(reading.budget_override_list().await.unwrap(), [], "there were none then");
    assert_eq!(reading.notify_state().await.unwrap(), NotifyState::default());
    drop(reading);
    let ledger = open(dir.path());
    let block = ledger.block_plan(&id("r1"), &limits, NOW).await.unwrap().unwrap();
    assert_eq!((block.cause.as_str(), block.since), ("spent", 5));
    let kept = ledger.enforcement_list(None).await.unwrap();
    assert_eq!(
        kept.iter().map(|row| (row.id, row.cause.as_str())).collect::<Vec<_>>(),
        [(3, "earlier"), (4, "spent")]
    );
}

/// Not a test of its own: the process that `what_was_said_to_be_set_survives_a_kill` starts.
#[test]
fn doomed() {
    let Ok(dir) = std::env::var(DOOMED) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&dir));
        for tokens in 1..100_000_u64 {
            let both =
                vec![set(ScopeKind::Global, "", "any", tokens), set(ScopeKind::Bottle, "ci", "any", tokens)];
            ledger.budget_override_set(both).await.unwrap();
            let mut out = std::io::stdout().lock();
            out.write_all(format!("\nset {tokens}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_said_to_be_set_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "doomed", "--nocapture"])
        .env(DOOMED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut note = |line: String| {
        last = line.strip_prefix("set ").and_then(|tokens| tokens.parse().ok()).unwrap_or(last);
    };
    lines.by_ref().take(200).for_each(|line| note(line.unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).for_each(&mut note);
    let found: Vec<u64> =
        ledger.budget_override_list().await.unwrap().iter().map(|set| set.tokens.0).collect();
    assert_eq!((found.len(), found[0]), (2, found[1]), "all or none");
    assert!(last > 10 && (found[0] == last || found[0] == last + 1), "{found:?} after {last}");
    // Every change has its row, and the chain holds.
    let audit = ledger.audit_list(0, 1_000_000).await.unwrap();
    assert_eq!(audit.len() as u64, 2 * found[0]);
    let mut chain = audit::Chain::default();
    audit.iter().for_each(|row| chain.follow(row).unwrap());
}

#[derive(Clone, Debug)]
enum Step {
    Set { bottle: bool, tokens: u64 },
    Clear { bottle: bool },
    Charge { tokens: u64 },
    Wait { hours: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), prop_oneof![Just(0), Just(100), Just(200), Just(400), 0..600_u64])
            .prop_map(|(bottle, tokens)| Step::Set { bottle, tokens }),
        2 => any::<bool>().prop_map(|bottle| Step::Clear { bottle }),
        5 => (0..120_u64).prop_map(|tokens| Step::Charge { tokens }),
        1 => (1..30_i64).prop_map(|hours| Step::Wait { hours }),
    ]
}

/// One limit as it should be.
#[derive(Default)]
struct Model {
    /// When each token was spent.
    spent: Vec<(i64, u64)>,
    set: Option<u64>,
    /// The limit that was crossed, and in which window.
    blocked: Option<(u64, i64)>,
    warned: BTreeSet<(i64, u64, u8)>,
    crossings: usize,
}

impl Model {
    /// What follows from the limit now in force; the threshold that is warned of.
    fn look(&mut self, asked: &AskedLimit) -> Option<u8> {
        let (tokens, start) = (asked.limit.tokens, asked.window_start);
        self.blocked = self.blocked.filter(|(crossed, window)| *window == start && tokens <= *crossed);
        let spent = self.in_window(start);
        if self.blocked.is_none() && spent >= tokens {
            self.blocked = Some((tokens, start));
            self.crossings += 1;
        }
        let passed = |percent: &u8| tokens > 0 && spent * 100 >= tokens * u64::from(*percent);
        let first = |percent: &u8| self.warned.insert((start, tokens, *percent));
        WARN_AT.into_iter().filter(passed).filter(first).max()
    }

    fn in_window(&self, start: i64) -> u64 {
        self.spent.iter().filter(|(when, _)| *when >= start).map(|(_, tokens)| tokens).sum()
    }
}

/// The files say 300 for the bottle, by the day, and nothing for the host: there is a limit only while it is set.
const FILE: u64 = 300;

struct Story {
    ledger: SharedLedger,
    now: i64,
    models: [Model; 2],
}

impl Story {
    fn limits(&self) -> [Option<AskedLimit>; 2] {
        let bottle = limit(ScopeKind::Bottle, "ci", "claude", self.models[0].set.unwrap_or(FILE));
        let host = self.models[1].set.map(|tokens| limit(ScopeKind::Global, "", "any", tokens));
        [Some(daily(bottle, self.now)), host]
    }

    async fn step(&mut self, step: &Step) {
        let place = |bottle| match bottle {
            true => (0, set(ScopeKind::Bottle, "ci", "claude", 0)),
            false => (1, set(ScopeKind::Global, "", "any", 0)),
        };
        let mut given = Vec::new();
        match *step {
            Step::Set { bottle, tokens } => {
                let (index, row) = place(bottle);
                let row = BudgetOverride { tokens: Amount(tokens), ..row };
                self.ledger.budget_override_set(vec![row]).await.unwrap();
                self.models[index].set = Some(tokens);
            }
            Step::Clear { bottle } => {
                let (index, row) = place(bottle);
                self.ledger
                    .budget_override_clear(&row.scope, &[row.provider], ACTOR, self.now)
                    .await
                    .unwrap();
                self.models[index].set = None;
            }
            Step::Charge { tokens } => {
                let asked: Vec<_> = self.limits().into_iter().flatten().collect();
                let request = HoldRequest { now: self.now, ..ask("r1", tokens, 1, &[]) };
                let hold = placed(self.ledger.hold_place(request).await.unwrap());
                let done = settlement(&hold.id, Some(usage(tokens, 0)), &asked);
                let done = Settlement { warn_at: WARN_AT.to_vec(), now: self.now, ..done };
                given = self.ledger.usage_settle(done).await.unwrap().warnings;
                self.models.iter_mut().for_each(|model| model.spent.push((self.now, tokens)));
            }
            Step::Wait { hours } => self.now += hours * 3600 * 1000,
        }
        let limits = self.limits();
        let asked: Vec<_> = limits.iter().flatten().cloned().collect();
        if limits[1].is_none() {
            self.models[1].blocked = None;
            let gone = in_force(&limit(ScopeKind::Global, "", "any", 0));
            self.ledger.block_reconsider(&[LimitInForce { tokens: None, ..gone }], self.now).await.unwrap();
        }
        given.extend(changed(&*self.ledger, "r1", &asked, self.now).await.warnings);
        let mut expected = Vec::new();
        for (model, asked) in self.models.iter_mut().zip(&limits) {
            expected.extend(asked.as_ref().and_then(|asked| model.look(asked)));
        }
        assert_eq!(given.iter().map(|one| one.percent).collect::<Vec<_>>(), expected, "warned");
        self.check(&asked).await;
    }

    async fn check(&self, asked: &[AskedLimit]) {
        let block = self.ledger.block_fetch(&id("r1"), asked, self.now).await.unwrap().into_iter().next();
        assert_eq!(block.is_some(), self.models.iter().any(|model| model.blocked.is_some()), "{block:?}");
        let planned = self.ledger.enforcement_list(None).await.unwrap().len();
        assert_eq!(planned, self.models.iter().map(|model| model.crossings).sum::<usize>(), "each once");
        let spent = balance(&*self.ledger, ScopeKind::Global, "", "any").await;
        assert_eq!(spent, (self.models[1].in_window(0), 0), "limits change, what was used does not");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_is_stopped_while_a_limit_is_reached_and_not_raised_since(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let ledger = open(dir.path());
            ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
            let mut story = Story { ledger, now: NOW, models: <_>::default() };
            for step in &steps {
                story.step(step).await;
            }
            assert_totals(dir.path());
        });
    }
}
