//! `kill -9` in mid-stream: what was committed stays, what was in flight turns into held usage.

use std::process::Stdio;
use std::time::Duration;

use hudson_tests::process::Background;
use hudson_tests::simulator::Options;
use hudson_tests::{Invocation, World, ledger};

use crate::cases::ANTHROPIC;

const ROUTES: &str = "routes:
  - host: api.anthropic.com
    credentials:
      - header: x-api-key
        from: {file: key}
    meter: {provider: claude, format: anthropic}
";

fn message(model: &str, stream: bool) -> Invocation {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":400,"stream":{stream},"messages":[{{"role":"user","content":"x"}}]}}"#
    );
    let json = "content-type: application/json";
    Invocation::new("curl", &["-sS", "-N", "-H", json, "-d", &body, "https://api.anthropic.com/v1/messages"])
}

#[test]
fn nothing_is_lost_when_the_proxy_is_killed_in_mid_stream() {
    let world = World::with(Options { gap: Duration::from_millis(40), ..Options::default() });
    world.operator_has("key", ANTHROPIC.value);
    let key = world.operator_home().join("key").display().to_string();
    world.configure("bottles/ci/routes.yaml", &ROUTES.replace("{file: key}", &format!("{{file: {key}}}")));
    world.configure("bottles/ci/bottle.yml", "budget: {claude: 1000000}\n");

    let mut up = world.up();
    let bottle = world.bottle("ci");
    let settled = world.through(&bottle.proxy_url, &bottle.ca_file, &message("sim-70-30", false), &[]);
    settled.exited(0);
    let before = ledger::wait_for(&world.home(), Duration::from_secs(5), |rows| rows.len() == 1);
    assert_eq!(before.iter().map(|row| row.total).sum::<u64>(), 100, "the first call is committed");

    let client = message("sim-70-400", true);
    let mut command = world.command_through(&bottle.proxy_url, &bottle.ca_file, &client, &[]);
    let mut stream =
        Background::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let streaming = |entries: &[hudson_tests::simulator::Entry]| {
        entries.iter().any(|entry| entry.stream && entry.sent_bytes > 2000)
    };
    assert!(
        world.simulator.journal().wait_until(Duration::from_secs(10), streaming),
        "the stream does not start"
    );
    up.kill_now();
    assert!(stream.wait(Duration::from_secs(10)), "the client hangs on a dead proxy");
    assert!(ledger::held(&world.home()) > 0, "there was no hold before the request left");
    drop(up);

    let _up = world.up();
    let held = |rows: &[hudson_tests::UsageRow]| rows.iter().any(|row| row.quality == "held");
    let rows = ledger::wait_for(&world.home(), Duration::from_secs(10), held);
    let (kept, turned): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.quality != "held");
    assert_eq!(kept, before, "what was committed has changed");
    assert_eq!(turned.len(), 1, "one hold turns into one row");
    // The hold was the estimate and the cap: at least as much as the provider bills.
    assert!(turned[0].charged >= 400, "less is held than may have been spent: {turned:?}");
    assert_eq!(ledger::held(&world.home()), 0, "the dead owner's hold still stands");
}
