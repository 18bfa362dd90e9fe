//! `hudson bottle add` and `hudson ca rotate` beside a running `hudson up`, and without one.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn hudson(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
    command
        .env_clear()
        .env("HOME", home)
        .arg("--home")
        .arg(home.join("h"))
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn ended(home: &Path, arguments: &[&str]) -> Output {
    hudson(home, arguments).output().unwrap()
}

/// A `hudson up` that ends with the test.
struct Up(Child);

impl Up {
    fn start(home: &Path) -> Self {
        let ready = home.join("ready.json");
        let arguments = ["up", "--listen", "127.0.0.1:0", "--ready-file", ready.to_str().unwrap()];
        let mut child = hudson(home, &arguments).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !ready.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            assert!(started.elapsed() < Duration::from_secs(20), "it is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bottle_is_added_to_a_running_up_only() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let add = ["bottle", "add", "ci", "--provider", "claude", "--budget", "claude=9k", "--json"];
    let alone = ended(home, &add);
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    assert!(String::from_utf8_lossy(&alone.stderr).contains("no `hudson up` serves"), "{alone:?}");
    assert!(!home.join("h/bot-bottle.db").exists(), "nothing is recorded for a bottle that nobody serves");

    let up = Up::start(home);
    let added = hudson(home, &add).env("ANTHROPIC_API_KEY", "sk-ant-the-real-one").output().unwrap();
    assert!(added.status.success(), "{added:?}");
    let json: Value = serde_json::from_slice(&added.stdout).unwrap();
    let url = json["proxy_url"].as_str().unwrap();
    assert!(url.starts_with(&format!("http://{}:", json["run"].as_str().unwrap())), "{json}");
    assert_eq!(json["environment"]["HTTPS_PROXY"], url);
    assert!(fs::metadata(json["ca_file"].as_str().unwrap()).unwrap().is_file());
    assert!(!String::from_utf8_lossy(&added.stdout).contains("the-real-one"));

    let status: Value = serde_json::from_slice(&ended(home, &["status", "--json"]).stdout).unwrap();
    assert_eq!(status["up"]["pid"], up.0.id());
    assert_eq!(status["runs"][0]["run"], json["run"]);
    let shell = ended(home, &["bottle", "add", "ci"]);
    assert!(String::from_utf8_lossy(&shell.stdout).contains("export HTTPS_PROXY='http://"), "{shell:?}");

    let rotate = ended(home, &["ca", "rotate"]);
    assert_eq!(rotate.status.code(), Some(4), "{rotate:?}");
    drop(up);
    assert_eq!(ended(home, &["ca", "rotate"]).status.code(), Some(0));
}

#[test]
fn the_bottles_own_environment_is_expanded_and_holds_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let _up = Up::start(home);
    fs::create_dir_all(home.join("h/bottles/ci")).unwrap();
    fs::write(home.join("h/bottles/ci/bottle.yml"), "env: {GREETING: \"hello ${WHO}\"}\n").unwrap();
    let add = ["bottle", "add", "ci", "--provider", "claude", "--json"];
    let added = hudson(home, &add).env("WHO", "ci").output().unwrap();
    let json: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(json["environment"]["GREETING"], "hello ci");

    let unset = ended(home, &add);
    assert_eq!(unset.status.code(), Some(2), "{unset:?}");
    assert!(String::from_utf8_lossy(&unset.stderr).contains("WHO is not set"), "{unset:?}");
    let key = "sk-ant-the-real-one";
    let secret = hudson(home, &add).env("WHO", key).env("ANTHROPIC_API_KEY", key).output().unwrap();
    assert_eq!(secret.status.code(), Some(2), "{secret:?}");
    assert!(!String::from_utf8_lossy(&secret.stderr).contains(key), "{secret:?}");
}

#[test]
fn a_codex_login_is_refused_for_a_bottle_that_outlives_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::create_dir(home.join(".codex")).unwrap();
    fs::write(home.join(".codex/auth.json"), r#"{"tokens": {"access_token": "the-real-one"}}"#).unwrap();
    let _up = Up::start(home);
    let add = ["bottle", "add", "ci", "--provider", "codex"];
    let login = ended(home, &add);
    assert_eq!(login.status.code(), Some(2), "{login:?}");
    assert!(String::from_utf8_lossy(&login.stderr).contains("OPENAI_API_KEY"), "{login:?}");
    let key = hudson(home, &add).env("OPENAI_API_KEY", "sk-the-real-one").output().unwrap();
    assert!(key.status.success(), "{key:?}");
}
