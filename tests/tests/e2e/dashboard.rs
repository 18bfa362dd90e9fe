//! The dashboard on a real terminal, with real keys: what is pressed takes effect, what is shown is true, and the
//! terminal is as it was.

// What is not shown in time ends the test, with the screen as it is.
#![allow(clippy::panic)]

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hudson_tests::World;
use hudson_tests::clients::{self, Invocation};
use hudson_tests::hudson::binary;
use hudson_tests::process::Background;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cases::ANTHROPIC;
use crate::raw::{self, Stage, wait_until};

const SOON: Duration = Duration::from_secs(20);
const ROUTES: &str = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
const MESSAGE: &str =
    r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"x"}]}"#;

/// A shell on a terminal of 24 rows.
pub(crate) struct Terminal {
    child: std::process::Child,
    keys: ChildStdin,
    seen: Arc<Mutex<(vt100::Parser, String)>>,
}

impl Terminal {
    /// Runs a line of shell on 80 columns, with `script` as what makes the terminal.
    fn run(stage: &Stage, line: &str) -> Self {
        Self::run_on(stage, 80, line)
    }

    /// The same on so many columns.
    pub(crate) fn run_on(stage: &Stage, columns: u16, line: &str) -> Self {
        Self::run_in(&stage.world, columns, line)
    }

    /// The same in a world without an `up`.
    pub(crate) fn run_in(world: &World, columns: u16, line: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command"]);
        command.arg(format!("stty rows 24 cols {columns}; {line}")).arg("/dev/null");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh");
        command.env("HOME", world.operator_home()).env("LANG", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("script(1) of util-linux can be started");
        let keys = child.stdin.take().expect("standard input is piped");
        let mut output = child.stdout.take().expect("standard output is piped");
        let [rows, columns] = [24, columns].map(|size| NonZero::new(size).expect("it has room"));
        let seen = Arc::new(Mutex::new((vt100::Parser::new(rows, columns, 0), String::new())));
        let shared = seen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                let mut seen = shared.lock().expect("no holder panics");
                seen.0.process(&bytes[..read]);
                seen.1.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, keys, seen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal is there");
    }

    pub(crate) fn screen(&self) -> String {
        self.seen.lock().expect("no holder panics").0.screen().contents()
    }

    /// Everything that was ever written to it.
    pub(crate) fn written(&self) -> String {
        self.seen.lock().expect("no holder panics").1.clone()
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        wait_until(SOON, || self.screen().contains(text).then_some(()))
            .unwrap_or_else(|| panic!("it does not show {text:?}:\n{}", self.screen()));
    }

    /// Waits for the end of the line; what its last commands printed.
    #[track_caller]
    pub(crate) fn ends(mut self) -> String {
        wait_until(SOON, || self.child.try_wait().ok().flatten())
            .unwrap_or_else(|| panic!("it goes on:\n{}", self.screen()));
        let seen = self.seen.lock().expect("no holder panics");
        assert!(!seen.0.screen().alternate_screen(), "the terminal still shows another screen");
        assert!(!seen.0.screen().hide_cursor(), "the cursor is still hidden");
        seen.0.screen().contents()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn stage() -> Stage {
    let stage = raw::routes(ROUTES).settings("budget: {claude: 10k}\n").env("THE_KEY", ANTHROPIC.value);
    stage.start()
}

/// The dashboard between two looks at the terminal's settings; the line ends with whether they are equal.
pub(crate) fn dashboard(stage: &Stage, more: &str) -> Terminal {
    dashboard_after(stage, ":", more)
}

/// The same after a command of its shell.
fn dashboard_after(stage: &Stage, first: &str, more: &str) -> Terminal {
    let hudson = binary().display();
    let (home, process) = (stage.world.home(), process_file(stage));
    let line = format!(
        "before=$(stty -g); sh -c 'echo $$ > {}; {first}; exec {hudson} dashboard --home {} {more}'; echo \"code $?\"; \
         test \"$before\" = \"$(stty -g)\" && echo as it was",
        process.display(),
        home.display()
    );
    Terminal::run(stage, &line)
}

fn process_file(stage: &Stage) -> PathBuf {
    stage.world.scratch().join("dashboard.pid")
}

fn status(stage: &Stage) -> Value {
    serde_json::from_slice(&stage.hudson(&["status", "--json"]).exited(0).stdout)
        .expect("`--json` prints JSON")
}

fn blocks(stage: &Stage) -> Vec<String> {
    let status = status(stage);
    let blocks = status["blocks"].as_array().into_iter().flatten();
    blocks.map(|block| format!("{} {}", block["policy"], block["scope"]["key"])).collect()
}

#[test]
fn keys_cut_a_bottle_off_and_resume_it_and_the_terminal_is_as_it_was() {
    let stage = stage();
    let agent = stage.agent();
    assert_eq!(agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status, 200);
    let mut terminal = dashboard(&stage, "");
    terminal.shows("● running");
    terminal.shows("1k/10k");
    terminal.press("c");
    terminal.shows("Cut off bottle ci?");
    assert!(blocks(&stage).is_empty(), "nothing is done before it is confirmed");
    terminal.press("y");
    terminal.shows("■ cut off");
    // One order at a time: this one is over when it is told.
    terminal.shows("✓ bottle ci is cut off");
    assert_eq!(blocks(&stage), ["\"cutoff\" \"ci\""]);
    assert_eq!(agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status, 403);
    terminal.press("r");
    terminal.shows("Resume bottle ci?");
    terminal.press("\r");
    terminal.shows("● running");
    assert!(blocks(&stage).is_empty());
    // Set from elsewhere, seen here.
    stage.hudson(&["budget", "set", "--bottle", "ci", "claude=20k"]).exited(0);
    terminal.shows("1k/20k");
    terminal.press("q");
    let left = terminal.ends();
    assert!(left.contains("code 0") && left.contains("as it was"), "{left}");
}

/// A `hudson` of this stage that goes on, without waiting for it.
fn beside(stage: &Stage, words: &[&str]) -> Background {
    let mut command = clients::clean(&binary().display().to_string());
    command.env("HOME", stage.world.operator_home()).env("THE_KEY", ANTHROPIC.value);
    command.arg("--home").arg(stage.world.home()).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Background::start(&mut command)
}

#[test]
fn with_an_up_it_reads_and_orders_through_its_socket() {
    let stage = stage();
    let agent = stage.agent();
    let _runs = beside(&stage, &["run", "--isolation", "none", "--bottle", "work", "--", "sleep", "60"]);
    // It can write no file: what is ordered is written by somebody else.
    let mut terminal = dashboard_after(&stage, "ulimit -f 0; trap \"\" 25", "");
    terminal.shows(&format!("hudson up: process {}", stage.process()));
    terminal.shows("2 bottles, 2 running");
    agent.get("elsewhere.example.com", "/a").refused(403, "host_not_allowed");
    terminal.press("\tG");
    terminal.shows("GET elsewhere.example.com/a");
    terminal.shows("host_not_allowed");
    terminal.press("c");
    terminal.shows("Cut off bottle ci?");
    terminal.press("y");
    terminal.shows("✓ bottle ci is cut off");
    assert_eq!(blocks(&stage), ["\"cutoff\" \"ci\""]);
    terminal.press("r");
    terminal.shows("Resume bottle ci?");
    terminal.press("\r");
    terminal.shows("✓ bottle ci is resumed");
    terminal.press("b");
    terminal.shows("[Enter] set");
    terminal.press("\t20k\r");
    terminal.shows("✓ bottle ci: 0 of 20000 tokens of any are spent");
    // The list again, and the bottle that can be frozen.
    terminal.press("\t\tj");
    terminal.press("f");
    terminal.shows("Freeze bottle work?");
    terminal.press("y");
    terminal.shows("done: egress is cut off; frozen: 1");
    assert_eq!(blocks(&stage), ["\"freeze\" \"work\""]);
    terminal.press("r");
    terminal.shows("Resume bottle work?");
    terminal.press("\r");
    terminal.shows("✓ bottle work is resumed");
    terminal.press("q");
    assert!(terminal.ends().contains("code 0"));
}

#[test]
fn an_up_that_dies_leaves_the_ledger_to_read_and_another_one_is_found() {
    let mut stage = stage();
    stage.agent().get("elsewhere.example.com", "/a").refused(403, "host_not_allowed");
    let mut terminal = dashboard(&stage, "");
    terminal.shows("hudson up: process");
    terminal.press("\tG");
    terminal.shows("GET elsewhere.example.com/a");
    stage.signal(Signal::KILL);
    stage.ends_within(SOON);
    terminal.shows("from the ledger: hudson up is not running");
    terminal.shows("● running");
    // Nobody else knows of it any more.
    terminal.shows("GET elsewhere.example.com/a");
    terminal.press("c");
    terminal.shows("Cut off bottle ci?");
    terminal.press("y");
    terminal.shows("✓ bottle ci is cut off");
    assert_eq!(blocks(&stage), ["\"cutoff\" \"ci\""]);
    let next = beside(&stage, &["controller"]);
    terminal.shows(&format!("hudson controller: process {}", next.id()));
    terminal.press("q");
    assert!(terminal.ends().contains("code 0"));
}

#[test]
fn an_up_that_is_stopped_keeps_nobody_waiting() {
    let stage = stage();
    let agent = stage.agent();
    let mut terminal = dashboard(&stage, "");
    terminal.shows("hudson up: process");
    stage.signal(Signal::STOP);
    terminal.shows("from the ledger: hudson up does not answer");
    terminal.press("?");
    terminal.shows("Esc");
    terminal.press("\u{1b}");
    // What is changed is seen, and the head stays as it is: it has been asked again and again meanwhile.
    stage.hudson(&["budget", "set", "--bottle", "ci", "claude=20k"]).exited(0);
    terminal.shows("0/20k");
    for _ in 0..30 {
        assert!(!terminal.screen().contains("hudson up: process"), "{}", terminal.screen());
        std::thread::sleep(Duration::from_millis(100));
    }
    terminal.press("c");
    terminal.shows("Cut off bottle ci?");
    terminal.press("y");
    terminal.shows("planned: nobody who serves this run has");
    terminal.shows("■ cut off");
    stage.signal(Signal::CONT);
    terminal.shows("hudson up: process");
    wait_until(SOON, || {
        (agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status == 403).then_some(())
    })
    .expect("it is cut off");
    terminal.press("q");
    assert!(terminal.ends().contains("code 0"));
}

#[test]
fn the_last_refusals_of_a_bottle_are_shown() {
    let stage = stage();
    let asks = Invocation::shell(
        "curl -s -o /dev/null https://elsewhere.example.com/a https://elsewhere.example.com/a",
    );
    stage
        .world
        .launch()
        .option("--bottle", "ci")
        .provider("none")
        .env("THE_KEY", ANTHROPIC.value)
        .run(&asks)
        .exited(0);
    let mut terminal = dashboard(&stage, "");
    terminal.shows("○ idle");
    // The details, to their end.
    terminal.press("\tG");
    terminal.shows("GET elsewhere.example.com/a");
    terminal.shows("host_not_allowed");
    terminal.press("q");
    assert!(terminal.ends().contains("code 0"));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let stage = stage();
    stage.bottle_add("ci", &[]);
    let terminal = dashboard(&stage, "--no-color");
    terminal.shows("● running");
    let colours = ["\u{1b}[38;5;", "\u{1b}[33m", "\u{1b}[94m"];
    assert!(
        !colours.iter().any(|colour| terminal.written().contains(colour)),
        "it was told to use no colours"
    );
    let process =
        std::fs::read_to_string(process_file(&stage)).expect("the shell has written its process id");
    let process = process.trim().parse().ok().and_then(Pid::from_raw).expect("it is a number");
    kill_process(process, Signal::TERM).expect("the dashboard runs");
    let left = terminal.ends();
    assert!(left.contains("code 0") && left.contains("as it was"), "{left}");
}

#[test]
fn without_a_terminal_it_names_the_command_that_needs_none() {
    let stage = stage();
    let refused = stage.hudson(&["dashboard"]);
    assert!(refused.exited(2).stderr.contains("`hudson status`"), "{refused}");
    assert!(stage.hudson(&["dashboard", "--json"]).exited(2).stderr.contains("hudson status --json"));
}
