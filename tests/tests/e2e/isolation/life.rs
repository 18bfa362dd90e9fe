//! A bottle's beginning and end: what it says of itself, when it is refused, and that nothing inside outlives it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hudson_tests::process::{self, Background};

use super::place::{Operator, Place, operators};
use crate::raw::wait_until;

const SOON: Duration = Duration::from_secs(20);
/// A daemon that left its group, its session and its parent, and shows in a file that it lives.
const DAEMON: &str = "(setsid sh -c 'while :; do date >> beat; sleep 0.02; done' >/dev/null 2>&1 &)
until [ -s beat ]; do sleep 0.02; done
";

#[test]
fn the_exit_code_comes_back_and_every_word_says_isolated() {
    for operator in operators() {
        let place = Place::of(*operator);
        let report = place.at("home/report.json").display().to_string();
        let outcome = place.run(&["--report", &report], "echo $TMPDIR; exit 5");
        assert!(outcome.exited(5).stderr.contains("this bottle is isolated"), "{outcome}");
        let told = fs::read_to_string(&report).expect("a report is written");
        assert!(told.contains("\"isolation\": \"isolated\""), "{told}");
        let outcome = place.run(&["--isolation", "none", "--report", &report], "kill -9 $$");
        assert!(outcome.exited(137).stderr.contains("unenforced"), "{outcome}");
        let told = fs::read_to_string(&report).expect("a report is written");
        assert!(told.contains("\"isolation\": \"unenforced\""), "{told}");
        assert_eq!(place.run(&[], "kill -9 $$").code, Some(137));
        let missing = process::run(&mut place.bottle(&[], &["no-such-program"]), SOON);
        assert!(missing.exited(127).stderr.contains("no-such-program: command not found"), "{missing}");
    }
}

#[test]
fn status_says_which_runs_are_isolated() {
    let place = Place::of(Operator::Tester);
    for (isolation, said) in [("auto", "isolated"), ("none", "unenforced")] {
        let mut command = place.bottle(&["--isolation", isolation], &["sh", "-c", "echo > up; sleep 30"]);
        let running = Background::start(&mut command);
        wait_until(SOON, || place.at("home/project/up").exists().then_some(())).expect("it starts");
        assert_eq!(place.status()["runs"][0]["isolation"], said);
        drop(running);
        fs::remove_file(place.at("home/project/up")).expect("it is there");
    }
}

#[test]
fn where_the_kernel_refuses_nothing_is_started_and_the_words_say_why() {
    let place = Place::of(Operator::Tester);
    let command = place.bottle(&[], &["sh", "-c", "echo > started"]);
    // In a user namespace that may hold no other.
    let mut without = hudson_tests::clients::clean("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    without.args(["-U", "-r", "sh", "-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    without.env("HOME", place.at("home")).current_dir(place.at("home/project"));
    let outcome = process::run(&mut without, SOON);
    let said = &outcome.exited(1).stderr;
    for part in ["max_user_namespaces", "--isolation none", "cannot be isolated"] {
        assert!(said.contains(part), "{part}: {outcome}");
    }
    assert!(!place.at("home/project/started").exists());
    assert_eq!(place.status()["runs"], serde_json::json!([]));
}

#[test]
fn a_working_directory_that_shows_too_much_is_refused() {
    let place = Place::of(Operator::Tester);
    for folder in ["home", "home/.bot-bottle", "home/.bot-bottle/bottles", ""] {
        let mut command = place.bottle(&[], &["true"]);
        let outcome = process::run(command.current_dir(place.at(folder)), SOON);
        assert!(outcome.exited(2).stderr.contains("go to a project directory"), "{folder}: {outcome}");
        process::run(place.bottle(&["--isolation", "none"], &["true"]).current_dir(place.at(folder)), SOON)
            .exited(0);
    }
    let outcome = place.run(&["--show", &place.at("home").display().to_string()], "true");
    assert!(outcome.exited(2).stderr.contains("Hudson's home would be seen"), "{outcome}");
}

#[test]
fn a_controller_answers_nobody_in_other_namespaces() {
    let place = Place::of(Operator::Tester);
    let ready = place.at("home/ready.json");
    let mut up =
        place.hudson(&["up", "--listen", "127.0.0.1:0", "--ready-file", &ready.display().to_string()]);
    let _up = Background::start(&mut up);
    wait_until(SOON, || ready.exists().then_some(())).expect("it is up");
    let add = place.hudson(&["bottle", "add", "other", "--json"]);
    for namespaces in ["-Ur", "-Urpf"] {
        // The same uid, the same files: only where the process is differs.
        let mut elsewhere = hudson_tests::clients::clean("unshare");
        elsewhere.arg(namespaces).arg(add.get_program()).args(add.get_args());
        elsewhere.env("HOME", place.at("home")).current_dir(place.at("home/project"));
        let outcome = process::run(&mut elsewhere, SOON);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert_eq!(place.status()["runs"], serde_json::json!([]));
    }
    process::run(&mut place.hudson(&["bottle", "add", "other", "--json"]), SOON).exited(0);
}

/// Whether the daemon writes on.
fn lives(beat: &Path) -> bool {
    let length = || fs::metadata(beat).map_or(0, |found| found.len());
    let before = length();
    std::thread::sleep(Duration::from_millis(400));
    length() != before
}

#[test]
fn a_daemon_ends_with_the_command() {
    for operator in operators() {
        let place = Place::of(*operator);
        place.run(&[], DAEMON).exited(0);
        assert!(!lives(&place.at("home/project/beat")), "{operator:?}");
    }
}

#[test]
fn a_daemon_ends_by_an_operators_kill() {
    for operator in operators() {
        let place = Place::of(*operator);
        let mut running =
            Background::start(&mut place.bottle(&[], &["sh", "-c", &format!("{DAEMON}sleep 60")]));
        let beat = place.at("home/project/beat");
        wait_until(SOON, || beat.exists().then_some(())).expect("it starts");
        assert!(lives(&beat), "{operator:?}");
        process::run(&mut place.hudson(&["bottle", "kill", "ci"]), SOON).exited(0);
        assert!(running.wait(SOON));
        assert_eq!(running.code(), Some(137));
        assert!(!lives(&beat), "{operator:?}");
    }
}

#[test]
fn a_spent_budget_kills_a_daemon_too() {
    let place = Place::of(Operator::Tester);
    let spend = crate::cases::python_anthropic("sync", "whole").spend;
    let options = ["--provider", "claude", "--budget", "claude=1000", "--on-exhausted", "kill"];
    let mut command = place.bottle(&options, &["sh", "-c", &format!("{DAEMON}{spend}\nsleep 60; echo on")]);
    command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value);
    let outcome = process::run(&mut command, Duration::from_secs(40));
    assert!(!outcome.exited(77).text().contains("on"), "{outcome}");
    assert!(!lives(&place.at("home/project/beat")));
}

#[test]
fn everything_inside_ends_when_hudson_is_killed() {
    for operator in operators() {
        let place = Place::of(*operator);
        let mut running =
            Background::start(&mut place.bottle(&[], &["sh", "-c", &format!("{DAEMON}sleep 60")]));
        let beat = place.at("home/project/beat");
        wait_until(SOON, || beat.exists().then_some(())).expect("it starts");
        assert!(lives(&beat), "{operator:?}");
        running.kill_now();
        wait_until(SOON, || (!lives(&beat)).then_some(())).expect("the daemon goes on");
        // The next one clears away what is left: the run on record, and its cgroup.
        let next = place.run(&[], "true");
        assert!(next.exited(0).stderr.contains("had lost its hudson"), "{next}");
        assert_eq!(place.status()["runs"], serde_json::json!([]));
    }
}

#[test]
fn signals_reach_the_command() {
    let place = Place::of(Operator::Tester);
    let script = "trap 'echo told > told; exit 9' TERM; echo > up; while :; do sleep 0.05; done";
    let mut running = Background::start(&mut place.bottle(&[], &["sh", "-c", script]));
    wait_until(SOON, || place.at("home/project/up").exists().then_some(())).expect("it starts");
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(9));
    assert!(place.at("home/project/told").exists());
}

/// Plays a person at a terminal with a shell in it: types, and waits for what has to be shown.
const PERSON: &str = r#"
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
shown = b""
def until(text, seconds=30):
    global shown
    end = time.time() + seconds
    while text not in shown:
        if time.time() > end:
            sys.exit("never shown: %r; but: %r" % (text, shown))
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    shown = shown[shown.index(text) + len(text):]
def type(text):
    os.write(terminal, text)
type(b"PS1='$ '; " + sys.argv[1].encode() + b"\n")
until(b"isolated: only"); until(b"ready\r\n")
type(b"one\n"); until(b"got one")
type(b"\x1a"); until(b"Stopped")
type(b"echo in the $((1+1))nd shell\n"); until(b"in the 2nd shell")
type(b"fg\n"); time.sleep(0.5)
type(b"two\n"); until(b"got two")
type(b"\x03"); until(b"interrupted\r\n")
type(b"echo ended with $?\n"); until(b"ended with 7")
"#;

fn python() -> String {
    hudson_tests::Clients::installed().root().join("python/bin/python").display().to_string()
}

#[test]
fn a_person_at_a_terminal_types_stops_continues_and_interrupts() {
    let place = Place::of(Operator::Tester);
    let script = place.at("home/project/agent");
    let agent = "trap 'echo interrupted; exit 7' INT\necho ready\n\
                 while :; do read -r line && echo got $line; done\n";
    fs::write(&script, agent).expect("it takes files");
    let command = place.bottle(&[], &["bash", "./agent"]);
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut person = hudson_tests::clients::clean(&python());
    person.args(["-c", PERSON, &line]).env("HOME", place.at("home")).current_dir(place.at("home/project"));
    process::run(&mut person, Duration::from_secs(60)).exited(0);
}

#[test]
fn nothing_is_typed_into_the_operators_terminal() {
    let place = Place::of(Operator::Tester);
    let words = place.bottle(
        &[],
        &["perl", "-e", "my $typed = qq(x); ioctl(STDIN, 0x5412, $typed) or print qq(refused: $!\\n)"],
    );
    let mut person = hudson_tests::clients::clean(&python());
    person.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    person.arg(words.get_program()).args(words.get_args());
    person.env("HOME", place.at("home")).current_dir(place.at("home/project"));
    let outcome = process::run(&mut person, SOON);
    assert!(outcome.exited(0).text().contains("refused: Operation not permitted"), "{outcome}");
}

#[test]
fn what_it_costs_to_start() {
    for operator in operators() {
        let place = Place::of(*operator);
        let median = |isolation: &str| {
            let mut took: Vec<Duration> = (0..10)
                .map(|_| {
                    let started = Instant::now();
                    process::run(&mut place.bottle(&["--isolation", isolation], &["true"]), SOON).exited(0);
                    started.elapsed()
                })
                .collect();
            took.sort_unstable();
            took[took.len() / 2]
        };
        let (full, none) = (median("full"), median("none"));
        report!(
            "`hudson run -- true` as {operator:?}, median of 10: isolated {full:.1?}, unenforced {none:.1?}"
        );
        // Any machine's; the figure is for a person.
        assert!(full < none + Duration::from_secs(2));
    }
}
