//! Freezing: everything in a bottle stops where it is, nothing of it is lost, and an operator brings it back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hudson_tests::process::{self, Background};
use hudson_tests::{World, ledger};

use crate::isolation::place::{Operator, Place, operators};
use crate::raw::wait_until;

const SOON: Duration = Duration::from_secs(20);
/// A daemon that left its group, its session and its parent, and a command that keeps something in its memory alone.
const WORK: &str = "kept=in-memory-$$; own=$$
(setsid sh -c 'until [ -e go ]; do date >> beat; sleep 0.02; done' >/dev/null 2>&1 &)
until [ -s beat ]; do sleep 0.02; done
until [ -e go ]; do sleep 0.02; done
[ \"$kept\" = in-memory-$own ] && cat file && echo \"$MARK\" && exit 6
";

fn length(beat: &Path) -> u64 {
    fs::metadata(beat).map_or(0, |found| found.len())
}

fn lives(beat: &Path) -> bool {
    let before = length(beat);
    std::thread::sleep(Duration::from_millis(300));
    length(beat) != before
}

fn hudson(place: &Place, words: &[&str]) -> process::Outcome {
    process::run(&mut place.hudson(words), SOON)
}

#[test]
fn what_is_frozen_stands_still_and_goes_on_where_it_was() {
    for (operator, isolation) in operators().iter().flat_map(|each| [(*each, "full"), (*each, "none")]) {
        let place = Place::of(operator);
        let beat = place.at("home/project/beat");
        let script = format!("echo kept > file; {WORK}");
        let mut command = place.bottle(&["--isolation", isolation], &["sh", "-c", &script]);
        command.env("MARK", "environment-kept");
        let mut running = Background::start(&mut command);
        wait_until(SOON, || beat.exists().then_some(())).expect("it starts");
        assert!(lives(&beat), "{operator:?} {isolation}");
        for _ in 0..2 {
            let told = hudson(&place, &["bottle", "freeze", "ci", "--reason", "a look"]);
            assert!(told.exited(0).text().contains("frozen"), "{operator:?} {isolation}: {told}");
            assert!(!lives(&beat), "{operator:?} {isolation}: it runs on");
            let refused = process::run(&mut place.bottle(&[], &["true"]), SOON);
            assert!(refused.exited(4).stderr.contains("hudson bottle resume ci"), "{refused}");
            let told = hudson(&place, &["bottle", "resume", "ci"]);
            assert!(told.exited(0).text().contains("go on"), "{operator:?} {isolation}: {told}");
            assert!(lives(&beat), "{operator:?} {isolation}: it is not brought back");
        }
        assert!(hudson(&place, &["bottle", "resume", "ci"]).exited(4).everything().contains("not stopped"));
        fs::write(place.at("home/project/go"), "").expect("it takes files");
        assert!(running.wait(SOON));
        assert_eq!(running.code(), Some(6), "{operator:?} {isolation}");
    }
}

#[test]
fn what_is_frozen_is_ended_by_a_kill_and_by_a_signal() {
    for operator in operators() {
        for by_signal in [false, true] {
            let place = Place::of(*operator);
            let beat = place.at("home/project/beat");
            let mut running = Background::start(&mut place.bottle(&[], &["sh", "-c", WORK]));
            wait_until(SOON, || beat.exists().then_some(())).expect("it starts");
            hudson(&place, &["bottle", "freeze", "ci"]).exited(0);
            match by_signal {
                true => running.signal(rustix::process::Signal::TERM),
                false => drop(hudson(&place, &["bottle", "kill", "ci"]).exited(0)),
            }
            assert!(running.wait(SOON), "{operator:?}: it goes on");
            assert_eq!(running.code(), Some(137), "{operator:?}");
            assert!(!lives(&beat));
            assert_eq!(place.status()["runs"], serde_json::json!([]));
        }
    }
}

#[test]
fn a_spent_budget_freezes_and_its_limit_has_to_be_raised_first() {
    let place = Place::of(Operator::Tester);
    let beat = place.at("home/project/beat");
    let spend = crate::cases::python_anthropic("sync", "whole").spend;
    let options = ["--provider", "claude", "--budget", "claude=1000", "--on-exhausted", "freeze"];
    let mut command = place.bottle(&options, &["sh", "-c", &format!("echo kept > file; {spend}\n{WORK}")]);
    command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value).env("MARK", "x");
    let mut running = Background::start(&mut command);
    let rows = || place.status()["enforcements"].as_array().cloned().unwrap_or_default();
    let row = wait_until(Duration::from_secs(40), || {
        rows().into_iter().find(|row| row["policy"] == "freeze" && row["state"] == "done")
    });
    let row = row.expect("it is frozen");
    assert!(row["detail"].as_str().is_some_and(|detail| detail.contains("frozen")), "{row}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!beat.exists() || !lives(&beat), "it runs on");
    assert_eq!(ledger::held(&place.at("home/.bot-bottle")), 0, "what was in flight is settled");
    let refused = hudson(&place, &["bottle", "resume", "ci"]);
    assert!(refused.exited(4).everything().contains("hudson budget set"), "{refused}");
    let run = row["run_id"].as_str().expect("a run").to_owned();
    hudson(&place, &["budget", "set", "--run", &run, "claude=1M"]).exited(0);
    wait_until(SOON, || place.status()["blocks"].as_array().is_some_and(Vec::is_empty).then_some(()))
        .expect("the block is lifted");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!beat.exists() || !lives(&beat), "a raised limit alone brings nothing back");
    hudson(&place, &["bottle", "resume", "ci"]).exited(0);
    wait_until(SOON, || beat.exists().then_some(())).expect("it goes on");
    fs::write(place.at("home/project/go"), "").expect("it takes files");
    assert!(running.wait(SOON));
    // It ended by itself, but a budget had stopped it.
    assert_eq!(running.code(), Some(77));
}

#[test]
fn what_a_killed_hudson_run_leaves_behind_is_taken_down_by_the_controller() {
    let place = Place::of(Operator::Tester);
    let beat = place.at("home/project/beat");
    let ready = place.at("home/ready.json");
    let mut up =
        place.hudson(&["up", "--listen", "127.0.0.1:0", "--ready-file", &ready.display().to_string()]);
    let _up = Background::start(&mut up);
    wait_until(SOON, || ready.exists().then_some(())).expect("it is up");
    let mut running =
        Background::start(&mut place.bottle(&["up", "--isolation", "none"], &["sh", "-c", WORK]));
    wait_until(SOON, || beat.exists().then_some(())).expect("it starts");
    assert_eq!(place.status()["runs"].as_array().map(Vec::len), Some(1));
    running.kill_now();
    wait_until(SOON, || (place.status()["runs"] == serde_json::json!([])).then_some(()))
        .expect("its credentials end");
    if rustix::process::geteuid().is_root() {
        // Without a cgroup nobody can tell any more which processes were the bottle's.
        wait_until(SOON, || (!lives(&beat)).then_some(())).expect("the daemon goes on");
    }
}

/// A tool that holds bottles: it writes down what it is asked, and does as it is told.
fn tool(world: &World, script: &str) -> String {
    let path = world.scratch().join("tool");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}/asked\n{script}\n", world.scratch().display());
    // In a process of its own: see `isolation::place::copied`.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("cat > {0} <<'END'\n{text}END\nchmod 755 {0}", path.display())]);
    assert!(shell.status().expect("sh starts").success());
    path.display().to_string()
}

fn asked(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.scratch().join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn with_tool(world: &World, script: &str, timeout: &str) {
    let tool = tool(world, script);
    let commands = ["freeze", "kill", "resume"]
        .map(|action| format!("    {action}: [\"{tool}\", \"{{action}}\", \"{{bottle}}\", \"{{run}}\"]\n"));
    let settings = format!("enforcement:\n  command:\n    timeout: {timeout}\n{}", commands.concat());
    world.configure("settings.yml", &settings);
    world.configure("bottles/ci/routes.yaml", crate::isolation::place::ROUTES);
}

fn order(world: &World, words: &[&str]) -> process::Outcome {
    process::run(world.hudson().arg("--home").arg(world.home()).args(words), Duration::from_secs(40))
}

fn enforcements(world: &World) -> Vec<serde_json::Value> {
    let outcome = order(world, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    status["enforcements"].as_array().cloned().unwrap_or_default()
}

#[test]
fn another_tool_freezes_brings_back_and_kills_what_it_holds() {
    let world = World::new();
    with_tool(&world, "echo saved as image-7; printf 'and \\033[31mred' >&2", "20s");
    let _up = world.up();
    let bottle = world.bottle("ci");
    let told = order(&world, &["bottle", "freeze", "ci"]);
    assert!(told.exited(0).text().contains("saved as image-7; and  [31mred"), "{told}");
    order(&world, &["bottle", "resume", "ci"]).exited(0);
    order(&world, &["bottle", "kill", "ci"]).exited(0);
    let run = &bottle.run;
    let expected = ["freeze", "resume", "kill"].map(|action| format!("{action} ci {run}"));
    assert_eq!(asked(&world), expected);
}

#[test]
fn a_tool_that_fails_is_asked_again_and_the_bottle_stays_cut_off() {
    let world = World::new();
    with_tool(&world, "[ $(wc -l < ${0%/*}/asked) -ge 3 ] || { echo not yet >&2; exit 3; }", "20s");
    let _up = world.up();
    let _bottle = world.bottle("ci");
    order(&world, &["bottle", "freeze", "ci"]).exited(0);
    assert_eq!(asked(&world).len(), 3);
    let log = fs::read_to_string(world.scratch().join("up.log")).expect("a log");
    let failing: Vec<_> = log.lines().filter(|line| line.contains("enforcement_failing")).collect();
    assert_eq!(failing.len(), 2, "{log}");
    assert!(failing.iter().all(|line| line.contains("exit code 3: not yet")), "{failing:?}");
}

#[test]
fn a_tool_that_hangs_is_ended_and_no_child_of_it_is_left() {
    let world = World::new();
    with_tool(
        &world,
        "[ $(wc -l < ${0%/*}/asked) -ge 2 ] || { sh -c 'while :; do date >> ${0%/*}/beat; sleep 0.02; done' $0; }",
        "1s",
    );
    let _up = world.up();
    let _bottle = world.bottle("ci");
    order(&world, &["bottle", "freeze", "ci"]).exited(0);
    assert!(world.scratch().join("beat").exists() && !lives(&world.scratch().join("beat")));
}

#[test]
fn what_a_dead_controller_had_begun_is_done_by_the_next() {
    let world = World::new();
    with_tool(&world, "[ $(wc -l < ${0%/*}/asked) -ge 2 ] || sleep 30", "60s");
    let mut up = world.up();
    let _bottle = world.bottle("ci");
    let mut freeze = world.hudson();
    freeze.arg("--home").arg(world.home()).args(["bottle", "freeze", "ci"]);
    let ordering = Background::start(&mut freeze);
    wait_until(SOON, || (asked(&world).len() == 1).then_some(())).expect("the tool is asked");
    up.kill_now();
    drop(ordering);
    assert_eq!(enforcements(&world)[0]["state"], "started");
    let _next = world.up();
    wait_until(SOON, || (enforcements(&world)[0]["state"] == "done").then_some(())).expect("it is done");
    assert_eq!(asked(&world).len(), 2);
    // And by a third one not again.
    drop(_next);
    let _third = world.up();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(asked(&world).len(), 2);
}

#[test]
fn one_crossing_acts_once_however_many_proxies_report_it() {
    let setting = crate::raw::stage().env("THE_KEY", "tests-only-key-of-eight-proxies");
    let tool = tool(&setting.world, "true");
    let settings = format!(
        "budget: {{claude: 20k}}\nshutdown: kill\nenforcement: {{command: {{kill: [\"{tool}\", \"{{action}}\"]}}}}\n"
    );
    let routes = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let stage = setting.settings(&settings).file("bottles/ci/routes.yaml", routes).start();
    let told = stage.bottle_add("ci", &[]);
    let ca = stage.world.home().join("ca/ca.pem");
    let proxies: Vec<_> = (0..7).map(|_| crate::live_budgets::second(&stage)).collect();
    let addresses = std::iter::once(stage.address).chain(proxies.iter().map(|(_, address)| *address));
    let agents: Vec<_> = addresses.map(|address| crate::raw::Agent::new(address, &told, &ca)).collect();
    // Each spends 950 tokens at a time, until none of them gets an answer any more.
    let body = r#"{"model":"sim-900-50","max_tokens":50,"messages":[{"role":"user","content":"x"}]}"#;
    std::thread::scope(|scope| {
        for agent in &agents {
            scope.spawn(move || while agent.post("api.anthropic.com", "/v1/messages", body).status == 200 {});
        }
    });
    wait_until(SOON, || (asked(&stage.world) == ["kill"]).then_some(())).expect("the tool is asked");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(asked(&stage.world), ["kill"], "once");
    let audit = stage.hudson(&["audit", "export"]);
    for kind in ["block_place", "enforcement_plan"] {
        let rows = audit.text().lines().filter(|line| line.contains(&format!("\"{kind}\""))).count();
        assert_eq!(rows, 1, "{kind}");
    }
}
