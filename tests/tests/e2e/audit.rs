//! The audit on a ledger that is in use: it tells what was charged, and who touches it is found out.

use std::time::Duration;

use hudson_tests::ledger;
use rusqlite::Connection;
use serde_json::Value;

use crate::raw::{self, Stage};

const ROUTES: &str = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";

/// A running Hudson that has counted so many calls.
fn stage(calls: usize) -> Stage {
    let settings = "budget: {claude: 100000}\n";
    let stage = raw::routes(ROUTES).settings(settings).env("THE_KEY", "tests-only-Pz19audit").start();
    let agent = stage.agent();
    for _ in 0..calls {
        let body = r#"{"model":"sim-20-5","max_tokens":300,"messages":[{"role":"user","content":"x"}]}"#;
        agent.post("api.anthropic.com", "/v1/messages", body).passed();
    }
    ledger::wait_for(&stage.world.home(), Duration::from_secs(5), |rows| rows.len() == calls);
    stage
}

fn verdict(stage: &Stage, words: &[&str], code: i32) -> Value {
    let outcome = stage.hudson(&[&["--json", "audit", "verify"], words].concat());
    outcome.exited(code);
    serde_json::from_slice(&outcome.stdout).expect("`--json` prints JSON")
}

#[test]
fn every_charge_is_told_and_the_chain_holds_while_it_grows() {
    let stage = stage(3);
    let told = stage.hudson(&["audit", "export"]);
    told.exited(0);
    let rows: Vec<Value> =
        told.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let charges: Vec<Value> = rows
        .iter()
        .filter(|row| row["kind"] == "usage_charge")
        .map(|row| serde_json::from_str(row["data"].as_str().unwrap_or_default()).expect("data is JSON"))
        .collect();
    assert_eq!(charges.len(), 3, "{rows:#?}");
    let charged: u64 = charges.iter().filter_map(|data| data["charged"].as_u64()).sum();
    let counted: u64 = ledger::usage(&stage.world.home()).iter().map(|row| row.charged).sum();
    assert_eq!(charged, counted);
    assert!(!told.text().contains("tests-only-Pz19audit"), "the key stands in the audit");

    let first = verdict(&stage, &[], 0);
    assert_eq!(first["rows"].as_u64(), Some(rows.len() as u64));
    let head = first["head"].as_str().unwrap_or_default().to_owned();
    // More is charged, and what was kept of before is still in the chain.
    stage.agent().post(
        "api.anthropic.com",
        "/v1/messages",
        r#"{"model":"sim-20-5","max_tokens":9,"messages":[]}"#,
    );
    let later = raw::wait_until(Duration::from_secs(5), || {
        let later = verdict(&stage, &["--head", &head], 0);
        (later["rows"].as_u64() > first["rows"].as_u64()).then_some(later)
    });
    assert!(later.is_some(), "the audit does not grow");
    let tail = stage.hudson(&["audit", "tail", "-n", "1"]);
    assert_eq!(tail.text().lines().filter(|line| line.contains("usage_charge")).count(), 1, "{tail}");
}

#[test]
fn a_row_that_was_touched_is_named() {
    let stage = stage(2);
    let head = verdict(&stage, &[], 0)["head"].as_str().unwrap_or_default().to_owned();
    let file = Connection::open(stage.world.home().join("bot-bottle.db")).expect("the ledger opens");
    let change = "UPDATE audit SET data = replace(data, '\"charged\":25', '\"charged\":1') WHERE kind = 'usage_charge'";
    let refused = file.execute(change, ()).expect_err("the audit is only ever appended to").to_string();
    assert!(refused.contains("appended"), "{refused}");

    file.execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_shortened")
        .expect("it is SQLite");
    file.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", ()).expect("it is SQLite");
    assert_eq!(verdict(&stage, &[], 0)["sound"], true, "a shorter chain is sound in itself");
    let missed = verdict(&stage, &["--head", &head], 1);
    assert!(missed["fault"].as_str().unwrap_or_default().contains("removed"), "{missed}");

    assert!(file.execute(change, ()).expect("it is SQLite") > 0);
    let first: i64 = file
        .query_row("SELECT min(seq) FROM audit WHERE kind = 'usage_charge'", (), |row| row.get(0))
        .expect("there are charges");
    let broken = verdict(&stage, &[], 1);
    assert!(broken["fault"].as_str().unwrap_or_default().contains(&format!("row {first} ")), "{broken}");
    assert_eq!(broken["rows"].as_i64(), Some(first - 1));
}
