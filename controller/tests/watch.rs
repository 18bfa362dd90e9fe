//! `--watch`: what has changed is shown, once, until the reader or the operator has had enough.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

fn hudson(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
    command.env_clear().env("HOME", home).arg("--home").arg(home).args(arguments);
    command
}

fn set(home: &Path, limit: &str) {
    let output = hudson(home, &["budget", "set", limit]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A command that goes on, and the lines that it prints.
struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Watched {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let mut child =
            hudson(home, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).count()
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).expect("it prints another line")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// What it still prints, and how it ends after this signal.
    fn ended_by(mut self, signal: Signal) -> (Vec<String>, ExitStatus, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = ended(&mut self.child);
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.lines.iter().collect(), status, error)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + SOON;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => panic!("it goes on"),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn each_change_is_one_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let watched = Watched::start(home, &["budget", "show", "--watch", "0.1", "--json"]);
    assert_eq!(watched.json(), serde_json::json!([]));
    for limit in [5_000, 6_000] {
        set(home, &format!("claude={limit}"));
        assert_eq!(watched.json()[0]["limit"], limit);
    }
    // Nothing changes, so nothing is printed, however often it looks.
    std::thread::sleep(Duration::from_millis(500));
    let (rest, status, error) = watched.ended_by(Signal::INT);
    assert!(rest.is_empty() && status.code() == Some(0) && error.is_empty(), "{rest:?} {status} {error}");
}

#[test]
fn a_pipe_gets_a_new_table_at_each_change_and_no_escape_codes() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    set(home, "claude=5k");
    let watched = Watched::start(home, &["budget", "show", "--watch", "0.1"]);
    assert!(watched.line().starts_with("SCOPE "));
    assert!(watched.line().contains("5000"));
    set(home, "claude=6k");
    assert_eq!(watched.line(), "", "a blank line stands between two tables");
    assert!(watched.line().starts_with("SCOPE "));
    let row = watched.line();
    assert!(row.contains("6000") && !row.contains('\u{1b}'), "{row}");
    // What cannot be read for a while is told once, and does not end it.
    std::fs::write(home.join("settings.yml"), "bugdet: {}\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(home.join("settings.yml"), "budget: {codex: 7}\n").unwrap();
    assert_eq!(watched.line(), "");
    let (rest, status, error) = watched.ended_by(Signal::TERM);
    assert!(rest.iter().any(|line| line.contains("codex")), "{rest:?}");
    assert_eq!((status.code(), error.matches("unknown").count().min(1)), (Some(0), 1), "{error}");
    assert_eq!(error.matches("hudson: ").count(), 1, "{error}");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = hudson(folder.path(), &["status", "--json", "--watch", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(ended(&mut child).code(), Some(0));
}

#[test]
fn what_cannot_be_shown_at_the_beginning_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = hudson(folder.path(), &["budget", "show", "--bottle", "nope", "--watch"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(ended(&mut child).code(), Some(3));
    for bad in ["0", "-1", "x"] {
        let output = hudson(folder.path(), &["status", &format!("--watch={bad}")]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}
