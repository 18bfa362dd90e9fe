//! The commands that read the ledger, on a ledger with a run, a settled response and a request in flight.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use hudson_schema::budget::{Mode, Weights};
use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{Hold, HoldOutcome, HoldRequest, Ledger, NewRun, Settlement};
use hudson_schema::{Quality, RunId, Usage};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const DAY: i64 = 86_400_000;
const RUN: &str = "run-1";

fn hudson(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hudson"))
        .env_clear()
        .env("HOME", home)
        .arg("--home")
        .arg(home)
        .args(arguments)
        .output()
        .unwrap()
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = hudson(home, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn place(ledger: &SqliteLedger, now: i64) -> Hold {
    let request = HoldRequest {
        run: RUN.parse().unwrap(),
        provider: "claude".parse().unwrap(),
        host: "api.anthropic.com".to_owned(),
        model: Some("claude-x".to_owned()),
        stream: true,
        input: 10,
        output: 20,
        min_output: 20,
        weights: Weights::default(),
        mode: Mode::Hard,
        limits: Vec::new(),
        governing: Vec::new(),
        cutoff: hudson_schema::budget::Cutoff::default(),
        now,
    };
    match ledger.hold_place(request).await.unwrap() {
        HoldOutcome::Placed(hold) => hold,
        other => panic!("{other:?}"),
    }
}

/// A home whose ledger has one response of the second day and one request in flight, of the third.
async fn recorded(home: &Home) -> SqliteLedger {
    let ledger = SqliteLedger::open(&home.ledger(), &home.owners()).unwrap();
    let run = NewRun {
        id: RUN.parse().unwrap(),
        bottle: "ci".parse().unwrap(),
        agent: Some("rev".parse().unwrap()),
        parents: vec!["base".parse().unwrap()],
        credential_hash: [0; 32],
        supervised: false,
        launch: json!({"parent": "base", "budget": {"claude": 500}}),
        started_at: DAY,
    };
    ledger.run_insert(run).await.unwrap();
    let hold = place(&ledger, DAY).await;
    let settlement = Settlement {
        hold: hold.id,
        usage: Some(Usage { input: 30, output: 12, total: 42, ..Usage::default() }),
        weights: Weights::default(),
        quality: Quality::Recovered,
        model: Some("claude-x".to_owned()),
        response_id: Some("msg_1".to_owned()),
        status: 200,
        stream: true,
        limits: Vec::new(),
        warn_at: Vec::new(),
        now: DAY + 1,
    };
    ledger.usage_settle(settlement).await.unwrap();
    place(&ledger, 2 * DAY).await;
    ledger
}

#[tokio::test]
async fn what_is_recorded_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    fs::create_dir_all(home.bottles().join("base")).unwrap();
    fs::write(home.settings(), "budget: {claude: 1000, codex: 5}\n").unwrap();
    let ledger = recorded(&home).await;
    let home = folder.path();

    let sums = json(home, &["usage", "--by", "agent,day"]);
    assert_eq!(sums.as_array().unwrap().len(), 1, "{sums}");
    assert_eq!((&sums[0]["agent"], &sums[0]["day"]), (&json!("rev"), &json!("1970-01-02")));
    assert_eq!((&sums[0]["total"], &sums[0]["inexact"]), (&json!(42), &json!(1)));
    assert_eq!(json(home, &["usage", "--since", "1970-01-03"]), json!([]));
    assert_eq!(json(home, &["usage", "--until", "1970-01-01"]), json!([]));
    let hosts = json(home, &["usage", "--until", "1970-01-02", "--by", "host,quality"]);
    assert_eq!((&hosts[0]["host"], &hosts[0]["quality"]), (&json!("api.anthropic.com"), &json!("recovered")));
    let rows = json(home, &["usage", "--rows", "--run", RUN]);
    assert_eq!((&rows[0]["response_id"], &rows[0]["quality"]), (&json!("msg_1"), &json!("recovered")));

    let budgets = json(home, &["budget", "show", "--bottle", "ci"]);
    let of = |scope: &str, provider: &str| {
        let found = budgets
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["scope"] == scope && row["provider"] == provider);
        found.unwrap_or_else(|| panic!("{scope} {provider}: {budgets}"))
    };
    assert_eq!(of("run", "claude")["left"], 500 - 42 - 30);
    assert_eq!((&of("global", "claude")["spent"], &of("global", "claude")["held"]), (&json!(42), &json!(30)));
    assert_eq!(of("global", "codex")["left"], 5);

    let status = json(home, &["status"]);
    assert_eq!((&status["held"], &status["inexact"]), (&json!(30), &json!(1)));
    assert_eq!(
        (&status["runs"][0]["run"], &status["runs"][0]["isolation"]),
        (&json!(RUN), &json!("unenforced"))
    );
    let bottles = json(home, &["bottle", "list"]);
    assert_eq!((&bottles[1]["bottle"], &bottles[1]["live_runs"]), (&json!("ci"), &json!(1)));
    assert_eq!(json(home, &["bottle", "show", "ci"])["usage"][0]["charged"], 42);

    let run: RunId = RUN.parse().unwrap();
    ledger.run_finish(&run, 3 * DAY, Some(0)).await.unwrap();
    assert_eq!(json(home, &["status"])["runs"], json!([]));
    for arguments in [&["usage", "--run", "nope"][..], &["usage", "--bottle", "nope"]] {
        assert_eq!(hudson(home, arguments).status.code(), Some(3), "{arguments:?}");
    }
}

#[tokio::test]
async fn usage_is_exported_for_spreadsheets() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let text = |arguments: &[&str]| {
        let output = hudson(home.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let headings = "bottle,requests,inexact,input,output,cache_read,cache_write,reasoning,total,charged\r\n";
    // Without a ledger there are columns all the same.
    assert_eq!(text(&["usage", "--csv", "--by", "bottle"]), headings);
    recorded(&home).await;
    assert_eq!(
        text(&["usage", "--csv", "--by", "bottle"]),
        format!("{headings}ci,1,1,30,12,0,0,0,42,42\r\n")
    );
    let rows = text(&["usage", "--rows", "--csv"]);
    let (head, row) = rows.split_once("\r\n").unwrap();
    assert!(head.starts_with("id,run_id,bottle,") && head.ends_with(",started_at,finished_at"), "{head}");
    assert_eq!(head.split(',').count(), row.trim_end().split(',').count());
    assert!(row.contains(",claude-x,msg_1,") && row.contains(",1970-01-02T00:00:00.001Z"), "{row}");
    for other in ["--json", "--watch"] {
        let refused = hudson(home.path(), &["usage", "--csv", other]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
}
