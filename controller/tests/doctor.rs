//! `hudson doctor` on homes that are well and homes that are not: each fault is found, named and mended by what is said.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use serde_json::Value;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Without clients, which are looked at elsewhere.
fn hudson(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
    command.env_clear().env("HOME", home).env("PATH", "/nowhere").arg("--home").arg(home).args(arguments);
    command.output().unwrap()
}

fn findings(home: &Path, code: i32) -> Vec<Value> {
    let output = hudson(home, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], code == 0, "{told}");
    told["findings"].as_array().unwrap().clone()
}

fn failed(findings: &[Value]) -> Vec<&str> {
    let failed = findings.iter().filter(|finding| finding["state"] == "failed");
    failed.map(|finding| finding["check"].as_str().unwrap()).collect()
}

/// A home of mode 0700 whose `up` would listen where nobody does.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("settings.yml"), "proxy: {listen: ['127.0.0.1:0']}\n").unwrap();
    folder
}

#[test]
fn a_fresh_home_is_well_and_stays_as_it_is() {
    let folder = home();
    let none = folder.path().join("none");
    let found = hudson(&none, &["doctor", "--json"]);
    assert!(!none.exists(), "looking makes nothing: {found:?}");
    findings(folder.path(), 0);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["settings.yml"]);
}

#[test]
fn every_fault_is_found_at_once_with_its_fix() {
    let folder = home();
    let home = folder.path();
    assert!(hudson(home, &["ca", "path"]).status.success());
    assert!(hudson(home, &["budget", "set", "claude=5"]).status.success());
    assert_eq!(failed(&findings(home, 0)), [""; 0]);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let settings = format!("proxy: {{listen: ['{}']}}\n", taken.local_addr().unwrap());
    fs::write(home.join("settings.yml"), settings).unwrap();
    fs::create_dir_all(home.join("bottles/ci")).unwrap();
    fs::write(home.join("bottles/ci/routes.yaml"), "routes:\n  - hots: a.test\n").unwrap();
    fs::set_permissions(home, Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(home.join("ca/ca.key"), Permissions::from_mode(0o644)).unwrap();
    fs::write(home.join("bot-bottle.db"), vec![b'x'; 8192]).unwrap();
    let found = findings(home, 1);
    assert_eq!(failed(&found), ["home", "files", "CA", "ledger", "listeners"], "{found:#?}");
    for finding in &found {
        let (state, fix) = (finding["state"].as_str().unwrap(), finding["fix"].as_str());
        assert_eq!(state == "ok", fix.is_none(), "what is not ok has a fix: {finding}");
    }
    let of = |check: &str| found.iter().find(|it| it["check"] == check && it["state"] == "failed").unwrap();
    assert!(of("home")["fix"].as_str().unwrap().contains("chmod 700"));
    assert!(of("files")["found"].as_str().unwrap().contains("routes.yaml:2:"));
    assert!(of("CA")["found"].as_str().unwrap().contains("mode 644"));
    assert!(of("listeners")["fix"].as_str().unwrap().contains("ss -ltnp"));
    let words = String::from_utf8(hudson(home, &["doctor"]).stdout).unwrap();
    assert!(words.contains("failed   ledger     ") && words.contains("5 failed\n"), "{words}");
}
