//! Many at once: tasks of one process, processes on one file, askers that go away and processes that are killed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger_support;

use hudson_schema::ledger::*;
use hudson_schema::{Quality, ScopeKind};
use ledger_support::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the process that is to be killed.
const DOOMED: &str = "HUDSON_TEST_DOOMED_LEDGER";

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_askers_never_reserve_more_than_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "any", 10_050)];
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (ledger, limits) = (ledger.clone(), limits.clone());
        tasks.spawn(async move {
            let request = HoldRequest { min_output: 100, ..ask("r1", 100, 200, &limits) };
            ledger.hold_place(request).await.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let holds: Vec<_> = outcomes
        .into_iter()
        .filter_map(|outcome| match outcome {
            HoldOutcome::Placed(hold) => Some(hold),
            other => {
                assert!(!exhausted(other).crossed, "nothing is committed");
                None
            }
        })
        .collect();
    assert_eq!(holds.len(), 33);
    assert_eq!(holds.iter().map(|hold| hold.tokens).sum::<u64>(), 33 * 300);
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "any").await, (0, 9900));
    for hold in holds {
        ledger.usage_settle(settlement(&hold.id, Some(usage(100, hold.output)), &limits)).await.unwrap();
    }
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "any").await, (9900, 0));
    assert_totals(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_on_one_file_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = [open(dir.path()), open(dir.path())];
    ledgers[0].run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Global, "", "any", 1_000_000)];
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..16 {
        let (ledger, limits) = (ledgers[index % 2].clone(), limits.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                let hold = placed(ledger.hold_place(ask("r1", 5, 5, &limits)).await.unwrap());
                ledger.usage_settle(settlement(&hold.id, Some(usage(5, 5)), &limits)).await.unwrap();
                ledger.block_fetch(&id("r1"), &limits, NOW).await.unwrap().into_iter().next();
            }
        });
    }
    tasks.join_all().await;
    for ledger in &ledgers {
        assert_eq!(balance(&**ledger, ScopeKind::Global, "", "any").await, (4000, 0));
    }
    assert_totals(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_leaves_its_hold_and_every_answer_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    // Stands for a write that fails half-way, alone or (as a full disk does) with its whole transaction.
    let connection = rusqlite::Connection::open(dir.path().join("bot-bottle.db")).unwrap();
    let poison = "CREATE TRIGGER alone BEFORE INSERT ON usage WHEN new.model = 'alone'
                  BEGIN SELECT RAISE(ABORT, 'poisoned'); END;
                  CREATE TRIGGER all_of_it BEFORE INSERT ON usage WHEN new.model = 'all'
                  BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END";
    connection.execute_batch(poison).unwrap();

    for (model, others_may_fail) in [("alone", false), ("all", true)] {
        let mut holds = Vec::new();
        for _ in 0..48 {
            holds.push(placed(ledger.hold_place(ask("r1", 1, 1, &[])).await.unwrap()));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (index, hold) in holds.into_iter().enumerate() {
            let poisoned = index % 12 == 5;
            let mut done = settlement(&hold.id, Some(usage(1, 1)), &[]);
            if poisoned {
                done.model = Some(model.to_owned());
            }
            let ledger = ledger.clone();
            tasks.spawn(async move { (hold, poisoned, ledger.usage_settle(done).await.is_ok()) });
        }
        let settled = tasks.join_all().await;
        let rows = rows_by_hold(dir.path());
        for (hold, poisoned, answered) in settled {
            assert_eq!(rows.contains_key(&hold.id.0), answered, "{model}: the answer is what is in the file");
            assert!(!poisoned || !answered, "{model}");
            assert!(poisoned || answered || others_may_fail, "{model}: another was taken along");
            if !answered {
                ledger.usage_settle(settlement(&hold.id, Some(usage(1, 1)), &[])).await.unwrap();
            }
        }
    }
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (192, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_new_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let dir = dir.path().to_owned();
        opening.spawn_blocking(move || open(&dir));
    }
    let ledgers = opening.join_all().await;
    ledgers[0].run_insert(run("r1", "ci", None, &[])).await.unwrap();
    for ledger in &ledgers {
        assert_eq!(ledger.run_list(true).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_hold_whose_asker_is_gone_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    for wait in [0, 0, 1, 5, 20] {
        let mut asking = ledger.hold_place(ask("r1", 50, 50, &[]));
        // Queued, and dropped before, while or after the answer comes, which nobody takes.
        tokio::select! {
            biased;
            outcome = &mut asking => ledger.hold_release(&placed(outcome.unwrap()).id).await.unwrap(),
            () = async {} => std::thread::sleep(Duration::from_millis(wait)),
        }
        drop(asking);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while balance(&*ledger, ScopeKind::Global, "", "any").await != (0, 0) {
        assert!(Instant::now() < deadline, "still held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn changes_are_seen_whoever_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(dir.path()), open(dir.path()));
    let mut changes = ours.changes();
    // The poll says once that it has begun.
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for ledger in [&theirs, &ours] {
        changes.mark_unchanged();
        let before = *changes.borrow();
        ledger.run_insert(run(&format!("r{before}"), "ci", None, &[])).await.unwrap();
        let seen = tokio::time::timeout(Duration::from_secs(5), changes.changed()).await;
        assert!(seen.is_ok(), "seen within a long while");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let still = *changes.borrow();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(*changes.borrow(), still, "nothing happened");

    // Who answers every change by planning would otherwise wake itself, and every other, for ever.
    let limits = [limit(ScopeKind::Global, "", "any", 10)];
    ours.run_insert(run("spent", "ci", None, &[])).await.unwrap();
    spend(&*ours, "spent", 10, 0, &limits).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let still = *changes.borrow();
    for ledger in [&ours, &theirs] {
        assert!(ledger.block_plan(&id("spent"), &limits, NOW).await.unwrap().is_some());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(*changes.borrow(), still, "it was planned before");
}

/// Not a test of its own: the process that `what_a_killed_process_held_is_charged` starts.
#[test]
fn doomed() {
    let Ok(dir) = std::env::var(DOOMED) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&dir));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4 {
            let ledger = ledger.clone();
            tasks.spawn(async move {
                for index in 0..100_000_u64 {
                    let tokens = 1 + index % 7;
                    let hold = placed(ledger.hold_place(ask("r1", tokens, 10, &[])).await.unwrap());
                    say(&format!("placed {} {}", hold.id, hold.tokens));
                    if (index + task) % 3 != 0 {
                        let used = usage(tokens, 1);
                        ledger.usage_settle(settlement(&hold.id, Some(used), &[])).await.unwrap();
                        say(&format!("settled {} {}", hold.id, used.total));
                    }
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Past the test harness, which keeps what is printed.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn what_a_killed_process_held_is_charged() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Global, "", "any", 1 << 40)];
    // Keeps a total, which every settle and the reaper must add to.
    placed(ledger.hold_place(ask("r1", 1, 0, &limits)).await.unwrap());

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "doomed", "--nocapture"])
        .env(DOOMED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut placed, mut settled) = (BTreeMap::new(), BTreeMap::new());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut note = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["placed", id, tokens] => drop(placed.insert(id.to_owned(), tokens.parse::<u64>().unwrap())),
            ["settled", id, tokens] => drop(settled.insert(id.to_owned(), tokens.parse::<u64>().unwrap())),
            _ => {}
        }
    };
    lines.by_ref().take(300).for_each(|line| note(&line.unwrap()));
    assert_eq!(ledger.holds_reap(NOW).await.unwrap(), 0, "it lives");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said before it died; the last line may be cut off.
    lines.map_while(Result::ok).for_each(|line| note(&line));

    // Two reapers at once charge each hold once.
    let other = open(dir.path());
    let (here, there) = tokio::join!(ledger.holds_reap(NOW + 1), other.holds_reap(NOW + 1));
    let reaped = here.unwrap() + there.unwrap();
    let rows = rows_by_hold(dir.path());
    assert_eq!(rows.values().filter(|(quality, _)| quality == Quality::Held.name()).count(), reaped);
    let acknowledged: BTreeSet<_> = placed.keys().collect();
    assert!(acknowledged.len() > 50 && !settled.is_empty());
    for (hold, tokens) in &placed {
        let (quality, charged) = rows.get(hold).unwrap_or_else(|| panic!("{hold} is lost"));
        match settled.get(hold) {
            Some(total) => assert_eq!((quality.as_str(), charged), ("exact", total)),
            // Its settle may have been committed just before the answer was said.
            None => assert!(quality == "exact" || charged == tokens, "{hold} {quality} {charged}"),
        }
    }
    let charged: u64 = rows.values().map(|(_, charged)| charged).sum();
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (charged, 1));
    assert_totals(dir.path());
    let locks = std::fs::read_dir(dir.path().join("owners")).unwrap().count();
    assert_eq!(locks, 2, "only the living keep a file");
}

fn rows_by_hold(dir: &Path) -> BTreeMap<String, (String, u64)> {
    let connection = rusqlite::Connection::open(dir.join("bot-bottle.db")).unwrap();
    let mut statement = connection.prepare("SELECT hold_id, quality, charged FROM usage").unwrap();
    let rows = statement
        .query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
