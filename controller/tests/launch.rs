//! `hudson run` around its command: what the command gets, which signals reach it, and the terminal between the two.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn hudson(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .arg("--home")
        .arg(home.join("h"))
        .stdin(Stdio::null());
    // What a command finds in namespaces of its own is looked at end to end.
    match arguments {
        ["run", rest @ ..] => command.args(["run", "--isolation", "none"]).args(rest),
        _ => command.args(arguments),
    };
    command
}

fn ended(home: &Path, arguments: &[&str]) -> Output {
    hudson(home, arguments).output().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn up(home: &Path) -> Running {
    let ready = home.join("ready.json");
    let arguments = ["up", "--listen", "127.0.0.1:0", "--ready-file", ready.to_str().unwrap()];
    let up = Running(hudson(home, &arguments).stderr(Stdio::null()).spawn().unwrap());
    until("up is ready", || ready.exists());
    up
}

fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

const TRAPPED: &str = "trap 'echo hung up >> got; exit 7' HUP; echo > started; while :; do sleep 0.05; done";

#[test]
fn a_hangup_is_the_commands_where_an_up_serves_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let _up = up(home);
    let mut run = Running(
        hudson(home, &["run", "--provider", "none", "--", "sh", "-c", TRAPPED])
            .current_dir(home)
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the command runs", || home.join("started").exists());
    signal(&run.0, "HUP");
    assert_eq!(run.0.wait().unwrap().code(), Some(7));
    assert_eq!(fs::read_to_string(home.join("got")).unwrap(), "hung up\n");
}

#[test]
fn a_hangup_is_the_configurations_where_the_proxy_is_the_runs_own() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut run = Running(
        hudson(home, &["run", "--provider", "none", "--", "sh", "-c", TRAPPED])
            .current_dir(home)
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the command runs", || home.join("started").exists());
    signal(&run.0, "HUP");
    until("it is read anew", || {
        fs::read_to_string(home.join("h/log/events.jsonl"))
            .is_ok_and(|log| log.contains("configuration_reloaded"))
    });
    assert!(run.0.try_wait().unwrap().is_none() && !home.join("got").exists());
    signal(&run.0, "TERM");
    assert_eq!(run.0.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn the_command_keeps_its_limit_of_open_files_and_hudson_takes_more() {
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -Sn; sleep 0.3; grep 'open files' /proc/$PPID/limits";
    let hudson = env!("CARGO_BIN_EXE_hudson");
    let output = Command::new("sh")
        .args([
            "-c",
            &format!(
                "ulimit -Sn 200; {hudson} --home h run --isolation none --provider none -- sh -c \"$0\""
            ),
            script,
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("200"), "{output:?}");
    let own: Vec<&str> = lines.next().unwrap().split_ascii_whitespace().collect();
    assert_eq!(own[3], own[4], "{own:?}");
}

#[test]
fn a_copy_of_a_logins_token_is_withheld() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::create_dir(home.join(".claude")).unwrap();
    let login = r#"{"claudeAiOauth": {"accessToken": "sk-ant-oat01-of-a-login"}}"#;
    fs::write(home.join(".claude/.credentials.json"), login).unwrap();
    let output = hudson(home, &["run", "--provider", "claude", "--", "env"])
        .env("COPY", "x sk-ant-oat01-of-a-login")
        .env("OTHER", "stays")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text.contains("OTHER=stays") && !text.contains("COPY=") && !text.contains("of-a-login"),
        "{text}"
    );
}

#[test]
fn wrong_presets_and_logins_are_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let unknown = ended(home, &["run", "--provider", "nope", "--", "true"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("claude, codex, gemini"), "{unknown:?}");
    for (name, file) in [("claude", ".claude/.credentials.json"), ("codex", ".codex/auth.json")] {
        let path = home.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no json").unwrap();
        let output = ended(home, &["run", "--provider", name, "--", "true"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(file), "{output:?}");
    }
    assert!(!home.join("h").exists(), "nothing is written for input that is refused");
}

#[test]
fn half_a_ca_is_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    assert!(ended(home, &["ca", "path"]).status.success());
    fs::remove_file(home.join("h/ca/ca.pem")).unwrap();
    let output = ended(home, &["run", "--provider", "none", "--", "true"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ca.pem: the file is missing beside ca.key; `hudson ca rotate`"), "{text}");
    assert!(ended(home, &["ca", "rotate"]).status.success());
    assert!(ended(home, &["run", "--provider", "none", "--", "true"]).status.success());
}

/// An interactive bash in a tmux server of its own.
struct Tmux<'a>(&'a Path);

impl<'a> Tmux<'a> {
    fn start(home: &'a Path) -> Self {
        Command::new("tmux").arg("-V").output().expect("tmux is there: tests/run installs it");
        let tmux = Self(home);
        let shell = "env PS1='ready> ' bash --norc --noprofile -i";
        tmux.tell(&["-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "50", shell]);
        tmux.sees("the shell", |screen| screen.contains("ready>"));
        tmux
    }

    fn tell(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .env_remove("TMUX")
            .env("HOME", self.0)
            .env("TERM", "xterm")
            .arg("-S")
            .arg(self.0.join("tmux"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tell(&[&["send-keys"], keys].concat());
    }

    fn sees(&self, what: &str, shows: impl Fn(&str) -> bool) {
        if let Err(screen) = self.within(Duration::from_secs(20), shows) {
            panic!("never seen: {what}:\n{screen}");
        }
    }

    /// Presses Ctrl-Z, as often as it takes: one that comes while a group is being continued is lost, in every shell.
    fn stops(&self, what: &str, shows: impl Fn(&str) -> bool) {
        for _ in 0..10 {
            self.keys(&["C-z"]);
            if self.within(Duration::from_secs(2), &shows).is_ok() {
                return;
            }
        }
        self.sees(what, shows);
    }

    /// Whether the screen shows it in time; else the screen.
    fn within(&self, limit: Duration, shows: impl Fn(&str) -> bool) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let screen = self.tell(&["capture-pane", "-p"]).trim_end().to_owned();
            match shows(&screen) {
                true => return Ok(()),
                false if started.elapsed() > limit => return Err(screen),
                false => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(self.0.join("tmux")).arg("kill-server").output();
    }
}

#[test]
fn a_stopped_command_gives_the_shell_back_and_goes_on_in_the_foreground() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let tmux = Tmux::start(home);
    let command = format!(
        "{} --home h run --isolation none --provider none -- bash -c 'echo as''king; read x; echo got $x'",
        env!("CARGO_BIN_EXE_hudson")
    );
    let prompt = |screen: &str| screen.ends_with("ready>");
    tmux.keys(&[&format!("cd {}; clear", home.display()), "Enter"]);

    // Plainly: it reads the terminal.
    tmux.keys(&[&command, "Enter"]);
    tmux.sees("the command", |screen| screen.ends_with("asking"));
    tmux.keys(&["one", "Enter"]);
    tmux.sees("the answer", |screen| screen.contains("got one") && prompt(screen));

    // Stopped, twice, and continued.
    tmux.keys(&["clear", "Enter"]);
    tmux.keys(&[&command, "Enter"]);
    tmux.sees("the command", |screen| screen.ends_with("asking"));
    for _ in 0..2 {
        tmux.stops("the prompt", |screen| screen.contains("Stopped") && prompt(screen));
        tmux.keys(&["clear; echo my''self", "Enter"]);
        tmux.sees("the shell's answer", |screen| screen.starts_with("myself") && prompt(screen));
        tmux.keys(&["fg", "Enter"]);
        tmux.sees("the command", |screen| screen.ends_with("echo got $x'"));
    }
    tmux.keys(&["two", "Enter"]);
    tmux.sees("the answer", |screen| screen.contains("got two") && prompt(screen));

    // Continued in the background it is stopped again when it reads; there it must not take the terminal.
    tmux.keys(&["clear", "Enter"]);
    tmux.keys(&[&command, "Enter"]);
    tmux.sees("the command", |screen| screen.ends_with("asking"));
    tmux.keys(&["C-z"]);
    tmux.sees("the prompt", |screen| screen.contains("Stopped") && prompt(screen));
    tmux.keys(&["bg", "Enter"]);
    tmux.keys(&["clear; echo my''self", "Enter"]);
    tmux.sees("the shell's answer", |screen| screen.contains("myself") && prompt(screen));
    tmux.keys(&["fg", "Enter"]);
    tmux.sees("the foreground", |screen| !prompt(screen));
    tmux.keys(&["three", "Enter"]);
    tmux.sees("the answer", |screen| screen.contains("got three") && prompt(screen));

    // Started in the background and fetched.
    tmux.keys(&["clear", "Enter"]);
    tmux.keys(&[&command.replace("read x", "sleep 1; read x"), " &", "Enter"]);
    tmux.sees("the command", |screen| screen.contains("\nasking"));
    tmux.keys(&["fg", "Enter"]);
    tmux.keys(&["four", "Enter"]);
    tmux.sees("the answer", |screen| screen.contains("got four") && prompt(screen));
}
