//! How long a hold and its settle take, for tasks of one process and for processes on one file. Prints, asserts nothing
//! about time: `cargo test --release -p hudson-schema --test ledger_speed -- --ignored --nocapture --test-threads 1`

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger_support;

use hudson_schema::ScopeKind;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{AskedLimit, Ledger, SharedLedger};
use ledger_support::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for a process that is measured: the ledger's folder, and how many rounds.
const MEASURED: &str = "HUDSON_TEST_MEASURED_LEDGER";
const ROUNDS: usize = 4000;

/// How long a hold took, and its settle.
type Round = (Duration, Duration);

fn limits() -> [AskedLimit; 2] {
    [limit(ScopeKind::Bottle, "ci", "claude", 1 << 40), limit(ScopeKind::Global, "", "any", 1 << 40)]
}

/// Any error ends the measurement: a ledger that was busy is one, and nobody must have seen it.
async fn rounds(ledger: &dyn Ledger, count: usize) -> Vec<Round> {
    let limits = limits();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let hold = placed(ledger.hold_place(ask("r1", 100, 100, &limits)).await.unwrap());
        let held = start.elapsed();
        ledger.usage_settle(settlement(&hold.id, Some(usage(100, 50)), &limits)).await.unwrap();
        times.push((held, start.elapsed() - held));
    }
    times
}

fn print(who: &str, times: &[Round], wall: Duration) {
    let figures = |of: fn(&Round) -> Duration| {
        let mut times: Vec<_> = times.iter().map(of).collect();
        times.sort();
        let [p50, p99, max] = [times.len() / 2, times.len() * 99 / 100, times.len() - 1];
        format!("{:?} {:?} {:?}", times[p50], times[p99], times[max])
    };
    let rate = times.len() as f64 / wall.as_secs_f64();
    println!(
        "{who}: hold {}, settle {}, both {} (p50 p99 max), {rate:.0} requests/s, load {}",
        figures(|time| time.0),
        figures(|time| time.1),
        figures(|time| time.0 + time.1),
        load()
    );
}

/// What the machine does besides, as far as it says.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{} on {cores} cores", load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

async fn begun(dir: &Path) -> SharedLedger {
    let ledger = open(dir);
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base"])).await.unwrap();
    ledger
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn tasks_of_one_process() {
    for tasks in [1, 8, 64] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = begun(dir.path()).await;
        let begun = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let ledger = ledger.clone();
            running.spawn(async move { rounds(&*ledger, ROUNDS / tasks).await });
        }
        let times: Vec<_> = running.join_all().await.into_iter().flatten().collect();
        print(&format!("{tasks:>2} tasks"), &times, begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn processes_on_one_file() {
    for processes in [1, 8] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = begun(dir.path()).await;
        let each = ROUNDS * 2 / processes;
        let mut children: Vec<_> = (0..processes).map(|_| Measured::start(dir.path(), each)).collect();
        // All are ready before the first begins.
        children.iter_mut().for_each(|child| assert_eq!(child.line(), "ready"));
        let begun = Instant::now();
        children.iter_mut().for_each(Measured::go);
        let times: Vec<_> = children.iter_mut().flat_map(|child| child.times(each)).collect();
        let wall = begun.elapsed();
        children.into_iter().for_each(Measured::end);
        let total = (processes * each) as u64 * 150;
        assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (total, 0), "nothing was lost");
        print(&format!("{processes:>2} processes"), &times, wall);
    }
}

/// How long it takes to open the file, with the log that its last process left and without one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn opening() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = begun(dir.path()).await;
    rounds(&*ledger, ROUNDS).await;
    let path = dir.path().join("bot-bottle.db");
    for who in ["opening with a log", "opening without one"] {
        let log = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let start = Instant::now();
                let reader = SqliteLedger::open_read_only(&path).unwrap();
                (start.elapsed(), reader).0
            })
            .collect();
        times.sort();
        println!("{who} ({log} bytes): {:?} {:?} (p50 max), load {}", times[25], times[49], load());
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    }
}

/// A process that is measured.
struct Measured {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Measured {
    fn start(dir: &Path, each: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "measured", "--nocapture"])
            .env(MEASURED, format!("{each} {}", dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it says itself, among the lines of its test harness.
    fn line(&mut self) -> String {
        let mut own = self
            .lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("measured: ").map(|(_, words)| words.to_owned()));
        own.next().unwrap_or_else(|| panic!("it ended early: the ledger failed it"))
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    fn times(&mut self, each: usize) -> Vec<Round> {
        let round = |line: String| {
            let (hold, settle) = line.split_once(' ').unwrap();
            (Duration::from_nanos(hold.parse().unwrap()), Duration::from_nanos(settle.parse().unwrap()))
        };
        (0..each).map(|_| round(self.line())).collect()
    }

    fn end(mut self) {
        assert!(self.child.wait().unwrap().success(), "it saw an error");
    }
}

/// Not a test of its own: a process that `processes_on_one_file` starts.
#[test]
fn measured() {
    let Ok(asked) = std::env::var(MEASURED) else { return };
    let (each, dir) = asked.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(dir));
        println!("measured: ready");
        std::io::stdin().lines().next().unwrap().unwrap();
        let times = rounds(&*ledger, each.parse().unwrap()).await;
        let said: String = times
            .iter()
            .map(|(hold, settle)| format!("measured: {} {}\n", hold.as_nanos(), settle.as_nanos()))
            .collect();
        print!("{said}");
    });
}
