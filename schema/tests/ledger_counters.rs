//! Counters of rules, told through the trait alone: all or nothing, in windows of the calendar, by several handles at once,
//! and with an owner that dies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::ScopeKind;
use hudson_schema::ledger::*;
use ledger_support::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

story! { sqlite, crate::ledger_support::on_sqlite:
    all_counters_of_a_request_are_counted_or_none
    what_is_given_back_is_given_back_once_in_its_own_window
    a_counter_is_its_scopes
    a_judgement_stands_only_while_its_counters_do
    a_window_begins_at_nothing_and_old_ones_are_forgotten
    many_handles_never_pass_a_limit
    a_dead_owners_reservation_stays_counted
}

/// A counter by the hour.
fn hourly(scope: ScopeKind, name: &str, now: i64) -> Counter {
    Counter::at(scope, name, 3_600_000, now)
}

fn of_bottle(name: &str) -> Counter {
    hourly(ScopeKind::Bottle, name, NOW)
}

fn step(counter: Counter, add: i64, limit: Option<i64>) -> CounterStep {
    CounterStep { counter, add, limit }
}

fn request(run: &str, steps: Vec<CounterStep>) -> CounterRequest {
    CounterRequest { run: id(run), steps, bounds: Vec::new(), now: NOW }
}

fn reserved(outcome: CounterOutcome) -> CounterReservation {
    match outcome {
        CounterOutcome::Reserved(reservation) => reservation,
        other => panic!("not reserved: {other:?}"),
    }
}

async fn used(ledger: &dyn Ledger, run: &str, counter: &Counter) -> i64 {
    ledger.counter_fetch(&id(run), std::slice::from_ref(counter)).await.unwrap()[0]
}

async fn all_counters_of_a_request_are_counted_or_none(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (calls, spent) = (of_bottle("calls"), of_bottle("spent"));
    let steps = |amount| vec![step(calls.clone(), 1, Some(10)), step(spent.clone(), amount, Some(100))];
    reserved(ledger.counter_reserve(request("r1", steps(60))).await.unwrap());
    let refused = ledger.counter_reserve(request("r1", steps(41))).await.unwrap();
    assert_eq!(refused, CounterOutcome::Limited { step: 1, used: 60 });
    assert_eq!((used(&*ledger, "r1", &calls).await, used(&*ledger, "r1", &spent).await), (1, 60));
    reserved(ledger.counter_reserve(request("r1", steps(40))).await.unwrap());
    assert_eq!((used(&*ledger, "r1", &calls).await, used(&*ledger, "r1", &spent).await), (2, 100));

    let twice = vec![step(calls.clone(), 4, Some(10)), step(calls.clone(), 5, Some(10))];
    let refused = ledger.counter_reserve(request("r1", twice)).await.unwrap();
    assert_eq!(refused, CounterOutcome::Limited { step: 1, used: 6 }, "both steps count");
    assert_eq!(used(&*ledger, "r1", &calls).await, 2);
    let most = vec![step(spent.clone(), i64::MAX, None)];
    reserved(ledger.counter_reserve(request("r1", most)).await.unwrap());
    assert_eq!(used(&*ledger, "r1", &spent).await, i64::MAX, "and no further");

    let gone = ledger.counter_reserve(request("none", steps(1))).await;
    assert!(matches!(gone, Err(LedgerError::Missing { .. })), "{gone:?}");
}

async fn what_is_given_back_is_given_back_once_in_its_own_window(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let (calls, spent) = (of_bottle("calls"), of_bottle("spent"));
    let steps = || vec![step(calls.clone(), 1, None), step(spent.clone(), 30, None)];
    let first = reserved(ledger.counter_reserve(request("r1", steps())).await.unwrap());
    let second = reserved(ledger.counter_reserve(request("r1", steps())).await.unwrap());
    assert!(ledger.counter_settle(&first, &[1]).await.unwrap());
    assert_eq!((used(&*ledger, "r1", &calls).await, used(&*ledger, "r1", &spent).await), (2, 30));
    assert!(!ledger.counter_settle(&first, &[0, 1]).await.unwrap(), "it has ended");
    assert!(ledger.counter_settle(&second, &[]).await.unwrap());
    assert!(!ledger.counter_settle(&second, &[0]).await.unwrap());
    assert_eq!((used(&*ledger, "r1", &calls).await, used(&*ledger, "r1", &spent).await), (2, 30));

    // What is given back after its window has ended leaves the next one alone.
    let third = reserved(ledger.counter_reserve(request("r1", steps())).await.unwrap());
    let later = NOW + 3_600_000;
    let next = hourly(ScopeKind::Bottle, "spent", later);
    let counted = CounterRequest { now: later, ..request("r1", vec![step(next.clone(), 5, None)]) };
    reserved(ledger.counter_reserve(counted).await.unwrap());
    assert!(ledger.counter_settle(&third, &[0, 1]).await.unwrap());
    assert_eq!((used(&*ledger, "r1", &spent).await, used(&*ledger, "r1", &next).await), (30, 5));
}

async fn a_counter_is_its_scopes(open: Open<'_>) {
    let ledger = open();
    for (name, bottle, agent) in
        [("r1", "ci", Some("a")), ("r2", "ci", Some("b")), ("r3", "dev", Some("a")), ("r4", "dev", None)]
    {
        ledger.run_insert(run(name, bottle, agent, &[])).await.unwrap();
    }
    for kind in [ScopeKind::Run, ScopeKind::Agent, ScopeKind::Bottle, ScopeKind::Global] {
        let counter = hourly(kind, "n", NOW);
        reserved(ledger.counter_reserve(request("r1", vec![step(counter, 1, None)])).await.unwrap());
    }
    let seen = async |run: &str| {
        let kinds = [ScopeKind::Run, ScopeKind::Agent, ScopeKind::Bottle, ScopeKind::Global];
        let counters = kinds.map(|kind| hourly(kind, "n", NOW));
        ledger.counter_fetch(&id(run), &counters).await.unwrap()
    };
    assert_eq!(seen("r1").await, [1, 1, 1, 1]);
    assert_eq!(seen("r2").await, [0, 0, 1, 1]);
    assert_eq!(seen("r3").await, [0, 1, 0, 1]);
    assert_eq!(seen("r4").await, [0, 0, 0, 1]);
}

async fn a_judgement_stands_only_while_its_counters_do(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let spent = of_bottle("spent");
    let bound = |at_least, at_most| CounterBound { counter: spent.clone(), at_least, at_most };
    let asked =
        |bound| CounterRequest { bounds: vec![bound], ..request("r1", vec![step(spent.clone(), 10, None)]) };
    reserved(ledger.counter_reserve(asked(bound(0, 0))).await.unwrap());
    assert_eq!(ledger.counter_reserve(asked(bound(0, 9))).await.unwrap(), CounterOutcome::Changed);
    assert_eq!(ledger.counter_reserve(asked(bound(11, 99))).await.unwrap(), CounterOutcome::Changed);
    assert_eq!(used(&*ledger, "r1", &spent).await, 10);
    reserved(ledger.counter_reserve(asked(bound(i64::MIN, 10))).await.unwrap());
    assert_eq!(used(&*ledger, "r1", &spent).await, 20);
}

async fn a_window_begins_at_nothing_and_old_ones_are_forgotten(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let at = |now| {
        let counter = Counter::at(ScopeKind::Bottle, "n", 60_000, now);
        CounterRequest { now, ..request("r1", vec![step(counter, 1, Some(1))]) }
    };
    let begin = NOW - NOW.rem_euclid(60_000);
    reserved(ledger.counter_reserve(at(begin)).await.unwrap());
    let full = ledger.counter_reserve(at(begin + 59_999)).await.unwrap();
    assert_eq!(full, CounterOutcome::Limited { step: 0, used: 1 });
    reserved(ledger.counter_reserve(at(begin + 60_000)).await.unwrap());
    // A clock that goes back finds what was counted then.
    assert!(matches!(ledger.counter_reserve(at(begin)).await.unwrap(), CounterOutcome::Limited { .. }));
    let first = Counter::at(ScopeKind::Bottle, "n", 60_000, begin);
    assert_eq!(used(&*ledger, "r1", &first).await, 1);
    reserved(ledger.counter_reserve(at(begin + 3 * DAY)).await.unwrap());
    assert_eq!(used(&*ledger, "r1", &first).await, 0, "days later it is forgotten");
    assert_eq!(Counter::at(ScopeKind::Bottle, "n", 60_000, -1).window_start, -60_000, "before 1970, too");
}

/// However many ask at once, over however many handles: what passes is the limit, no more and no less.
async fn many_handles_never_pass_a_limit(open: Open<'_>) {
    let handles = [open(), open()];
    handles[0].run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..60 {
        let ledger = handles[task % 2].clone();
        tasks.spawn(async move {
            let asked = request("r1", vec![step(of_bottle("a"), 1, Some(20)), step(of_bottle("b"), 3, None)]);
            match ledger.counter_reserve(asked).await.unwrap() {
                CounterOutcome::Reserved(reservation) => {
                    let back = if task % 3 == 0 { vec![1] } else { vec![] };
                    assert!(ledger.counter_settle(&reservation, &back).await.unwrap());
                    (1, 3 - 3 * i64::try_from(back.len()).unwrap())
                }
                CounterOutcome::Limited { step: 0, used: 20 } => (0, 0),
                other => panic!("{other:?}"),
            }
        });
    }
    let passed = tasks.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(passed.0, 20);
    let seen = handles[1].counter_fetch(&id("r1"), &[of_bottle("a"), of_bottle("b")]).await.unwrap();
    assert_eq!(seen, [passed.0, passed.1]);
}

async fn a_dead_owners_reservation_stays_counted(open: Open<'_>) {
    let dead = open();
    dead.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let counted = request("r1", vec![step(of_bottle("n"), 7, None)]);
    let reservation = reserved(dead.counter_reserve(counted).await.unwrap());
    let living = open();
    drop(dead);
    living.holds_reap(NOW).await.unwrap();
    assert!(!living.counter_settle(&reservation, &[0]).await.unwrap(), "nobody gives it back");
    assert_eq!(used(&*living, "r1", &of_bottle("n")).await, 7);
}

/// Set for the process that is killed: the ledger's folder.
const DOOMED: &str = "HUDSON_TEST_DOOMED_COUNTERS";

/// Not a test of its own: the process that `a_killed_process_gives_nothing_back` starts.
#[test]
fn doomed() {
    let Ok(dir) = std::env::var(DOOMED) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&dir));
        for round in 0.. {
            let counted = request("r1", vec![step(of_bottle("n"), 1, None)]);
            let reservation = reserved(ledger.counter_reserve(counted).await.unwrap());
            say("reserved");
            let back: &[usize] = if round % 2 == 0 { &[0] } else { &[] };
            ledger.counter_settle(&reservation, back).await.unwrap();
            say(if back.is_empty() { "kept" } else { "back" });
        }
    });
}

/// Past the test harness, which keeps what is printed.
fn say(step: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{step}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn a_killed_process_gives_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    for lines in [20, 21, 22, 23] {
        let before = used(&*ledger, "r1", &of_bottle("n")).await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "doomed", "--nocapture"])
            .env(DOOMED, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let is_step = |line: &String| ["reserved", "kept", "back"].contains(&line.as_str());
        let mut said =
            BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter(is_step);
        let mut steps: Vec<String> = said.by_ref().take(lines).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        steps.extend(said);
        ledger.holds_reap(NOW).await.unwrap();
        let count = |step: &str| i64::try_from(steps.iter().filter(|said| *said == step).count()).unwrap();
        let counted = used(&*ledger, "r1", &of_bottle("n")).await - before;
        let expected = count("reserved") - count("back");
        // Its last step may have been committed and not said.
        assert!((expected - 1..=expected + 1).contains(&counted), "{counted} for {steps:?}");
        assert!(counted >= count("kept"), "{counted} for {steps:?}");
    }
}
