//! A ledger on a disk that fills up: nothing metered leaves, what was on its way is written when there is room again, and
//! nothing is lost.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hudson_tests::simulator::Options;
use hudson_tests::{World, clients, process};
use serde_json::Value;

use crate::raw::streams::{HOST, rest, streaming};
use crate::raw::{self, Agent, Stage};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
  - {host: files.example.com}
";
const SOON: Duration = Duration::from_secs(10);

/// Hudson's home on a small disk, which only it and [`on_its_disk`] see.
fn cramped(world: &World, up: Command) -> Command {
    let mut inside = clients::clean("unshare");
    let mount = "mount -t tmpfs -o size=4m,mode=700 none \"$0.disk\" && cp -a \"$0/.\" \"$0.disk\" && \
                 mount --move \"$0.disk\" \"$0\" && exec \"$@\"";
    std::fs::create_dir(format!("{}.disk", world.home().display()))
        .expect("the scratch directory takes folders");
    inside.args(["--mount", "--", "sh", "-c", mount]).arg(world.home());
    inside.arg(up.get_program()).args(up.get_args());
    inside.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = up.get_current_dir() {
        inside.current_dir(folder);
    }
    inside
}

/// Runs a line where Hudson sees its disk.
#[track_caller]
fn on_its_disk(stage: &Stage, line: &str) -> process::Outcome {
    let mut command = clients::clean("nsenter");
    command.args(["-t", &stage.process().to_string(), "--mount", "--", "sh", "-c", line]);
    process::run(&mut command, Duration::from_secs(20))
}

fn hudson(home: &Path, words: &str) -> String {
    format!("{} --home {} {words}", hudson_tests::hudson::binary().display(), home.display())
}

fn message(agent: &Agent) -> raw::Answer {
    let body = r#"{"model":"sim-70-30","max_tokens":100,"messages":[{"role":"user","content":"x"}]}"#;
    agent.post(HOST, "/v1/messages", body)
}

fn rows(stage: &Stage) -> Vec<Value> {
    let told = on_its_disk(stage, &hudson(&stage.world.home(), "usage --json --rows"));
    serde_json::from_slice(&told.exited(0).stdout).expect("`--json` prints JSON")
}

#[test]
fn hard_budgets_fail_closed_and_what_was_in_flight_is_written_when_there_is_room() {
    let options = Options { gap: Duration::from_millis(20), tokens_per_event: 10, ..Options::default() };
    let setting = raw::stage_with(options).file("bottles/ci/routes.yaml", ROUTES);
    let setting = setting.settings("budget: {claude: 100M}\n").env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    let stage = setting.start_inside(cramped);
    let home = stage.world.home();
    let told = on_its_disk(&stage, &hudson(&home, "bottle add ci --json"));
    let told: Value = serde_json::from_slice(&told.exited(0).stdout).expect("`--json` prints JSON");
    let ca = stage.world.scratch().join("ca.pem");
    on_its_disk(&stage, &format!("cp {}/ca/ca.pem {}", home.display(), ca.display())).exited(0);
    let agent = Agent::new(stage.address, &told, &ca);
    message(&agent).passed();

    let stream = streaming(&agent, 1000);
    on_its_disk(&stage, &format!("dd if=/dev/zero of={}/fill bs=4096 2>/dev/null; true", home.display()));
    // What is left of the log's last page may take one more.
    let refused = raw::wait_until(SOON, || Some(message(&agent)).filter(|answer| answer.status != 200));
    refused.expect("metered requests pass on a full disk").refused(403, "ledger_unavailable");
    assert_eq!(
        agent.get("files.example.com", "/hello.txt").passed().status,
        200,
        "what costs nothing passes"
    );
    let (text, whole) = rest(stream);
    assert!(whole && text.contains("message_stop"), "the client's stream is no worse for it: {text}");
    let failed = stage.event("ledger_failed");
    assert!(failed["error"].as_str().is_some_and(|why| why.contains("the disk is full")), "{failed}");

    let passed = stage.arrived();
    on_its_disk(&stage, &format!("rm {}/fill", home.display())).exited(0);
    let exact = |row: &Value| row["quality"] == "exact";
    raw::wait_until(SOON, || {
        (rows(&stage).iter().filter(|row| exact(row)).count() == metered(&stage)).then_some(())
    })
    .unwrap_or_else(|| panic!("of {passed} requests these are settled: {:#?}", rows(&stage)));
    assert!(
        rows(&stage).iter().any(|row| row["total"] == 1080),
        "the stream's own numbers: {:#?}",
        rows(&stage)
    );
    message(&agent).passed();
    let status = on_its_disk(&stage, &hudson(&home, "budget show --json"));
    let budgets: Value = serde_json::from_slice(&status.exited(0).stdout).expect("`--json` prints JSON");
    assert_eq!(budgets[0]["held"], 0, "a hold is left: {budgets}");
    on_its_disk(&stage, &hudson(&home, "audit verify")).exited(0);
}

/// Model calls that reached the provider.
fn metered(stage: &Stage) -> usize {
    stage.world.simulator.journal().entries().iter().filter(|entry| entry.path == "/v1/messages").count()
}
