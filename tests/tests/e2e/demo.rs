//! The README's demonstration: it ends, and as it says.

use std::process::Command;
use std::time::Duration;

#[test]
fn it_is_stopped_by_its_budget() {
    let home = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson-demo"));
    command.env("HOME", home.path());
    let outcome = hudson_tests::process::run(&mut command, Duration::from_secs(60));
    let said = outcome.exited(77).text();
    assert_eq!(said.matches("agent: request").count(), 3, "{outcome}");
    assert!(said.contains("(key: a-dummy)") && said.contains("budget_exhausted"), "{outcome}");
}
