//! Limits that are set while Hudson runs: each process on the ledger goes by them at once, in both directions.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use hudson_tests::process::Background;
use hudson_tests::{Invocation, World, clients, hudson};
use serde_json::Value;

use crate::cases::ANTHROPIC;
use crate::opaque;
use crate::raw::agent::until_closed;
use crate::raw::{self, Agent, Stage};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
  - host: files.example.com
  - {host: git.example.com, intercept: false}
";
const KEY: &str = "tests-only-9fK2mP7qR4tW";
const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";

/// How soon a change is to be in force in every process.
const BAR: u64 = 200;
const ROUNDS: usize = 5;
/// Long past what is asserted.
const SOON: Duration = Duration::from_secs(10);

fn stage() -> Stage {
    raw::routes(ROUTES).settings("budget: {claude: 1M}\n").env("THE_KEY", KEY).start()
}

/// A `hudson proxy` on the ledger of a stage, and its address.
pub(crate) fn second(stage: &Stage) -> (Background, std::net::SocketAddr) {
    let ready = stage.world.scratch().join("second.json");
    let _ = std::fs::remove_file(&ready);
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", stage.world.operator_home()).env("THE_KEY", KEY);
    command.args(["proxy", "--listen", "127.0.0.1:0"]).args(hudson::redirection(&stage.world.simulator));
    command.arg("--home").arg(stage.world.home()).arg("--ready-file").arg(&ready);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Background::start(&mut command);
    raw::wait_until(SOON, || ready.exists().then_some(())).expect("the second process is not ready");
    let told = std::fs::read(&ready).expect("the ready file is readable");
    let told: Value = serde_json::from_slice(&told).expect("the ready file is JSON");
    let address = told["addresses"][0].as_str().and_then(|address| address.parse().ok());
    (process, address.expect("the ready file tells an address"))
}

pub(crate) fn wall_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(now.as_millis()).expect("it is not that late")
}

/// Asks on one connection after the other until the answer is of this kind; when that was.
fn until(agent: &Agent, passes: bool) -> u64 {
    raw::wait_until(SOON, || {
        let mut tls = agent.tls("files.example.com");
        let status = raw::ask(&mut tls, GET).status;
        ((status == 200) == passes).then(wall_clock)
    })
    .expect("the change is never in force")
}

fn message(tokens: &str) -> String {
    format!(r#"{{"model":"sim-{tokens}","max_tokens":100,"messages":[{{"role":"user","content":"x"}}]}}"#)
}

/// When the last change was made, as the audit has it: just before it was committed.
fn last_set(stage: &Stage) -> u64 {
    let audit = stage.hudson(&["audit", "export"]);
    let rows = audit.text();
    let rows = rows.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let set = rows.filter(|row| row["kind"] == "budget_set").filter_map(|row| row["ts"].as_u64()).max();
    set.expect("the audit tells what was set")
}

#[test]
fn a_change_is_in_force_in_two_processes_at_once() {
    let stage = stage();
    let told = stage.bottle_add("ci", &[]);
    let (_second, address) = second(&stage);
    let ca = stage.world.home().join("ca/ca.pem");
    let agents = [Agent::new(stage.address, &told, &ca), Agent::new(address, &told, &ca)];
    for agent in &agents {
        agent.post("api.anthropic.com", "/v1/messages", &message("500-100")).passed();
    }
    let (mut lowered, mut raised) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (limit, passes, took) in [("claude=700", false, &mut lowered), ("claude=1M", true, &mut raised)] {
            let seen = std::thread::scope(|scope| {
                let waiting: Vec<_> =
                    agents.iter().map(|agent| scope.spawn(move || until(agent, passes))).collect();
                stage.hudson(&["budget", "set", limit]).exited(0);
                waiting.into_iter().map(|one| one.join().expect("it waits")).collect::<Vec<_>>()
            });
            let set = last_set(&stage);
            took.extend(seen.into_iter().map(|when| when.saturating_sub(set)));
        }
        for agent in &agents {
            // The block may be lifted a moment before the limit is known here.
            let passes = || agent.post("api.anthropic.com", "/v1/messages", &message("1-1"));
            raw::wait_until(SOON, || (passes().status == 200).then_some(())).expect("it never passes");
        }
    }
    report!("ms from `budget set` to its effect, two processes: lowered {lowered:?}, raised {raised:?}");
    for took in [&mut lowered, &mut raised] {
        took.sort_unstable();
        assert!(took[took.len() / 2] < BAR, "{took:?}");
    }
    // Each time it was enforced anew, and nothing is left of it.
    let status: Value = serde_json::from_slice(&stage.hudson(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["blocks"], serde_json::json!([]));
    let enforced = status["enforcements"].as_array().expect("a list");
    assert_eq!(enforced.len(), ROUNDS, "{enforced:#?}");
    assert!(enforced.iter().all(|one| one["state"] == "done"), "{enforced:#?}");
}

#[test]
fn what_is_set_is_shown_and_cleared_and_survives_kill_9() {
    let mut stage = stage();
    let agent = stage.agent();
    agent.post("api.anthropic.com", "/v1/messages", &message("500-100")).passed();
    stage.hudson(&["budget", "set", "--bottle", "ci", "claude=650", "any=2M"]).exited(0);
    raw::wait_until(SOON, || stage.events("budget_warning").into_iter().next()).expect("it is warned of");
    let warning = stage.event("budget_warning");
    assert_eq!((&warning["scope"], &warning["limit"]), (&"bottle ci".into(), &650.into()), "{warning}");
    assert_eq!((&warning["spent"], &warning["percent"]), (&600.into(), &90.into()), "{warning}");
    let told: Value = serde_json::from_slice(&stage.hudson(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!(told["warnings"][0]["limit"], 650, "{told}");

    let shown = agent.plain("GET", "http://_egress.local/budget", "").passed().json();
    let of = |scope: &str, provider: &str| {
        let mut rows = shown["budgets"].as_array().into_iter().flatten();
        rows.find(|row| row["scope"] == scope && row["provider"] == provider).cloned()
    };
    let (own, host) =
        (of("bottle", "claude").expect("it is told"), of("global", "claude").expect("it is told"));
    assert_eq!(
        (&own["limit"], &own["left"], &own["governs"]),
        (&650.into(), &50.into(), &true.into()),
        "{shown}"
    );
    assert_eq!(host["governs"], false, "the bottle's own is nearer: {shown}");

    stage.signal(rustix::process::Signal::KILL);
    stage.ends_within(SOON);
    let rows: Value =
        serde_json::from_slice(&stage.hudson(&["budget", "show", "--json"]).stdout).expect("JSON");
    let rows = rows.as_array().expect("a list");
    let from: Vec<_> = rows.iter().map(|row| (row["limit"].as_u64(), row["source"].as_str())).collect();
    let expected = [(1_000_000, "settings"), (2_000_000, "override"), (650, "override")];
    assert_eq!(from, expected.map(|(limit, source)| (Some(limit), Some(source))));
    stage.hudson(&["budget", "clear", "--bottle", "ci", "--json"]).exited(0);
    let rows: Value =
        serde_json::from_slice(&stage.hudson(&["budget", "show", "--json"]).stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
}

#[test]
fn what_was_open_before_is_stopped_in_both_processes() {
    let stage = stage();
    let told = stage.bottle_add("ci", &[]);
    let (_second, address) = second(&stage);
    let ca = stage.world.home().join("ca/ca.pem");
    let agents = [Agent::new(stage.address, &told, &ca), Agent::new(address, &told, &ca)];
    agents[0].post("api.anthropic.com", "/v1/messages", &message("500-100")).passed();
    let opened = |agent: &Agent| {
        let mut tls = agent.tls("files.example.com");
        raw::ask(&mut tls, GET).passed();
        let host = "git.example.com";
        let tunnel = agent.tls_as(opaque::plain(&stage), &format!("{host}:443"), host).expect("TLS is taken");
        (tls, tunnel)
    };
    let open = agents.each_ref().map(opened);
    // The policy says what a crossing does, and no request has to find it.
    stage.hudson(&["budget", "set", "--bottle", "ci", "claude=600"]).exited(0);
    for (mut tls, mut tunnel) in open {
        until_closed(&mut tunnel.sock).expect("the opaque tunnel stays open");
        raw::ask(&mut tls, GET).refused(403, "bottle_cut_off");
    }
}

#[test]
fn a_response_says_what_is_left_where_the_settings_want_it() {
    for wanted in [false, true] {
        let settings = format!("budget: {{claude: 1M}}\nbudget_header: {wanted}\n");
        let stage = raw::routes(ROUTES).settings(&settings).env("THE_KEY", KEY).start();
        let agent = stage.agent();
        let left = || {
            let answer = agent.post("api.anthropic.com", "/v1/messages", &message("80-20")).passed();
            answer.header("x-hudson-budget-remaining").map(|text| text.parse::<u64>().expect("a number"))
        };
        let first = left();
        assert_eq!(first.is_some(), wanted);
        let Some(first) = first else { continue };
        // 100 of output are held, and what the input is taken for; 100 are charged in the end.
        assert!((999_500..=999_900).contains(&first), "{first}");
        stage.hudson(&["budget", "set", "--bottle", "ci", "claude=5000"]).exited(0);
        let lowered = raw::wait_until(SOON, || left().filter(|tokens| *tokens < 5000));
        assert!(lowered.is_some(), "it is what the limit in force leaves");
    }
}

/// One message of a run's shell; prints the status.
fn curl(model: &str) -> String {
    format!(
        "curl -sS -o answer.json -w '%{{http_code}}\\n' https://api.anthropic.com/v1/messages \
         -H 'content-type: application/json' -d '{}'\n",
        message(model)
    )
}

/// Where a script waits until an order was given outside of its bottle.
pub(crate) const ORDER: &str =
    "touch please; until [ -e given ]; do sleep 0.05; done; rm please given; sleep 0.5\n";

/// Gives an order outside of the bottle when the script of `running` comes to [`ORDER`].
pub(crate) fn ordered<T>(world: &World, order: &[&str], running: impl FnOnce() -> T) -> T {
    let file = |name| world.work().join(name);
    let mut command = world.hudson();
    command.arg("--home").arg(world.home()).args(order);
    let mut give = || {
        let until = Instant::now() + 2 * SOON;
        while !file("please").exists() {
            assert!(Instant::now() < until, "nobody asked for the order");
            thread::sleep(Duration::from_millis(20));
        }
        hudson_tests::process::run(&mut command, SOON).exited(0);
        fs::write(file("given"), "").expect("the work folder can be written");
    };
    thread::scope(|scope| {
        let giving = scope.spawn(&mut give);
        let outcome = running();
        giving.join().expect("the order is given");
        outcome
    })
}

#[test]
fn a_run_that_was_cut_off_goes_on_when_its_limit_is_raised() {
    for (raise, code, printed) in [(true, 0, "200\n403\n200\n"), (false, 77, "200\n403\n403\n")] {
        let world = World::new();
        world.configure("settings.yml", "budget: {claude: 1000}\n");
        let raising = if raise { ORDER } else { "" };
        let script = format!("{}{}{raising}{}", curl("950-100"), curl("1-1"), curl("1-1"));
        let launch = world.launch().provider("claude").env(ANTHROPIC.variable, ANTHROPIC.value);
        let run = || launch.run(&Invocation::shell(&script));
        let outcome = if raise { ordered(&world, &["budget", "set", "claude=9000"], run) } else { run() };
        assert_eq!(outcome.exited(code).text(), printed, "{outcome}");
    }
}

#[test]
fn a_run_is_killed_by_a_lowered_limit() {
    let world = World::new();
    let script = format!("{}{ORDER}sleep 40\n", curl("500-100"));
    let launch = world.launch().provider("claude").budget("any=1M").option("--on-exhausted", "kill");
    // Nearest: the run's own budget governs, and the host's does not touch it.
    let launch = launch.env(ANTHROPIC.variable, ANTHROPIC.value).limit(Duration::from_secs(5));
    let outcome =
        ordered(&world, &["budget", "set", "claude=600"], || launch.run(&Invocation::shell(&script)));
    assert!(outcome.timed_out, "the host's limit does not govern it");
    let launch = world.launch().provider("claude").option("--on-exhausted", "kill");
    world_clear(&world);
    let launch = launch.env(ANTHROPIC.variable, ANTHROPIC.value);
    let order = ["budget", "set", "--bottle", "claude", "claude=100"];
    let outcome = ordered(&world, &order, || launch.run(&Invocation::shell(&script)));
    outcome.exited(77);
    assert!(outcome.elapsed < Duration::from_secs(20), "{outcome}");
}

#[test]
fn nobody_gives_an_order_from_inside_of_a_bottle() {
    let world = World::new();
    world.configure("settings.yml", "budget: {claude: 1000}\n");
    let hudson = format!("{} --home {}", hudson::binary().display(), world.home().display());
    // So that there is something to clear.
    let mut outside = world.hudson();
    outside.arg("--home").arg(world.home()).args(["budget", "set", "claude=500"]);
    hudson_tests::process::run(&mut outside, SOON).exited(0);
    let orders = [
        "budget set claude=9000",
        "budget clear",
        "bottle resume ci",
        "bottle cutoff ci",
        "bottle remove ci",
    ];
    let script: String = orders.iter().map(|order| format!("{hudson} {order}; echo code $?\n")).collect();
    let outcome = world.launch().option("--bottle", "ci").run(&Invocation::shell(script));
    assert_eq!(outcome.exited(0).text(), "code 1\n".repeat(orders.len()), "{outcome}");
    assert_eq!(outcome.everything().matches("is in a bottle: ").count(), orders.len(), "{outcome}");
}

fn world_clear(world: &World) {
    let mut command = world.hudson();
    command.arg("--home").arg(world.home()).args(["budget", "clear"]);
    hudson_tests::process::run(&mut command, SOON).exited(0);
}
