//! A process that is killed between any two steps: what it was told is on record, and nothing is done twice.

use crate::ledger_support::NOW;
use crate::ledger_support::open;
use crate::support::*;
use hudson_schema::ledger::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process that is killed: the ledger's folder.
const DOOMED: &str = "HUDSON_TEST_DOOMED_APPROVALS";

/// Not a test of its own: the process that `what_a_killed_process_was_told_is_on_record` starts.
#[test]
fn doomed() {
    let Ok(dir) = std::env::var(DOOMED) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&dir));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..3_u8 {
            let ledger = ledger.clone();
            tasks.spawn(async move {
                for round in 0_i64.. {
                    let now = NOW + round;
                    let waiting = pending(&*ledger, task, now).await;
                    say("pending", &waiting.id);
                    made(ledger.approval_approve(decision(&waiting.id, ALICE, now)).await.unwrap());
                    say("approved", &waiting.id);
                    let used = consumed(ledger.approval_consume(using(&waiting, now)).await.unwrap());
                    say("consumed", &waiting.id);
                    ledger
                        .approval_finish(&used.latest_use(), ExecutionEnd::Executed, "", now)
                        .await
                        .unwrap();
                    say("executed", &waiting.id);
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Past the test harness, which keeps what is printed.
fn say(step: &str, id: &ApprovalId) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{step} {id}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn what_a_killed_process_was_told_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut last = BTreeMap::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::doomed", "--nocapture"])
            .env(DOOMED, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut note = |line: String| {
            if let Some((step, id)) = line.split_once(' ')
                && let Ok(id) = id.parse::<ApprovalId>()
            {
                last.insert(id, step.to_owned());
            }
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At another step each time.
        lines.by_ref().take(40 + round).for_each(|line| note(line.unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(note);
        // What it left is not taken up as something else by the next one, which asks for the same.
        ledger.approval_cancel(cancel_all(NOW)).await.unwrap();
    }
    assert!(last.len() > 30, "{}", last.len());
    for (id, step) in &last {
        let found = ledger.approval_fetch(id, NOW).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        let execution = found.execution.map(Execution::name);
        // A step further is one that was committed just before its answer was said; what was open was cancelled here.
        let fits = match (step.as_str(), found.status) {
            ("pending", ApprovalStatus::Cancelled | ApprovalStatus::Revoked)
            | ("approved", ApprovalStatus::Revoked) => execution.is_none(),
            ("approved", ApprovalStatus::Consumed) => execution == Some("started"),
            ("consumed", ApprovalStatus::Consumed) => matches!(execution, Some("started" | "executed")),
            ("executed", ApprovalStatus::Consumed) => execution == Some("executed"),
            _ => false,
        };
        assert!(fits, "{id}: said {step}, found {} {execution:?}", found.status);
        assert!(found.attempt <= 1, "{id}");
        let steps = steps(&*ledger, id).await;
        let consumed = steps.iter().filter(|step| *step == "approval_consume").count();
        assert_eq!(consumed, usize::from(found.status == ApprovalStatus::Consumed), "{steps:?}");
    }
    verify(&*ledger).await;
}
