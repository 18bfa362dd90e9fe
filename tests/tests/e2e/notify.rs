//! What is told outside: warnings and stops reach a real server, signed, once, through failures and `kill -9`; and no
//! secret is where it can be read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use hudson_tests::process::{self, Background};
use hudson_tests::{Invocation, World, clients, hudson};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::cases::ANTHROPIC;
use crate::raw::upstream::ok;
use crate::raw::{self, Agent, Stage, Upstream};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
";
const KEY: &str = "tests-only-9fK2mP7qR4tW";
const SECRET: &str = "whsec-tests-only-Zq81xX";
const SECRET_PATH: &str = "T0-tests-only-b7Kq";
/// Long past what any of this takes.
const SOON: Duration = Duration::from_secs(10);
/// Past the time after which another process takes over.
const TAKEN_OVER: Duration = Duration::from_secs(40);
/// In which a second delivery would have come.
const A_WHILE: Duration = Duration::from_millis(1500);
const FAILING: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// Settings with a budget and one webhook.
fn settings(address: SocketAddr, more: &str) -> String {
    format!(
        "budget: {{claude: 10000}}\n\
         notify: [{{webhook: {{url: 'http://{address}/hook?to=ops', secret_env: HOOK_SECRET{more}}}}}]\n"
    )
}

fn stage(settings: &str) -> Stage {
    setting(settings).start()
}

fn setting(settings: &str) -> raw::Setting {
    raw::routes(ROUTES).settings(settings).env("THE_KEY", KEY).env("HOOK_SECRET", SECRET)
}

/// One more process on the ledger of a stage: `hudson proxy` with its address, or `hudson controller`.
fn second(stage: &Stage, command: &str) -> (Background, Option<SocketAddr>) {
    let ready = stage.world.scratch().join("second.json");
    let more: &[&str] = if command == "proxy" { &["--listen", "127.0.0.1:0"] } else { &[] };
    let words = [&[command], more].concat();
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", stage.world.operator_home()).env("THE_KEY", KEY).env("HOOK_SECRET", SECRET);
    command.args(words).args(hudson::redirection(&stage.world.simulator));
    command.arg("--home").arg(stage.world.home()).arg("--ready-file").arg(&ready);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Background::start(&mut command);
    raw::wait_until(SOON, || ready.exists().then_some(())).expect("the second process is not ready");
    let told: Value = serde_json::from_slice(&std::fs::read(&ready).expect("it is readable")).expect("JSON");
    (process, told["addresses"][0].as_str().and_then(|address| address.parse().ok()))
}

/// A `hudson run` that has its own proxy, and delivers like the controller does.
fn run_beside(stage: &Stage) -> Background {
    let ready = stage.world.scratch().join("beside.json");
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", stage.world.operator_home()).env("THE_KEY", KEY).env("HOOK_SECRET", SECRET);
    command.args(["run", "--embedded", "--isolation", "none", "--bottle", "beside", "--home"]);
    command.arg(stage.world.home()).arg("--ready-file").arg(&ready).args(["--", "sleep", "60"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Background::start(&mut command);
    raw::wait_until(SOON, || ready.exists().then_some(())).expect("the run is not ready");
    process
}

fn message(tokens: &str) -> String {
    format!(r#"{{"model":"sim-{tokens}","max_tokens":400,"messages":[{{"role":"user","content":"x"}}]}}"#)
}

fn status(stage: &Stage) -> Value {
    serde_json::from_slice(&stage.hudson(&["status", "--json"]).stdout).expect("JSON")
}

/// A request to the webhook, checked as a receiver is told to check it.
struct Delivery {
    id: String,
    timestamp: u64,
    body: Value,
}

impl Delivery {
    #[track_caller]
    fn of(request: &str) -> Self {
        let (head, body) = request.split_once("\r\n\r\n").expect("a request has a head");
        assert!(head.starts_with("POST /hook?to=ops HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| {
            let values = head.lines().filter_map(|line| line.split_once(": "));
            let mut values = values.filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            values.next().expect("the header is there").to_owned()
        };
        assert_eq!(header("content-type"), "application/json");
        let timestamp = header("x-hudson-timestamp");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
        mac.update(format!("{timestamp}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header("x-hudson-signature"), format!("v1={hex}"));
        let timestamp = timestamp.parse().expect("unix seconds");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_secs();
        assert!(now.abs_diff(timestamp) < 60, "{timestamp} at {now}");
        let body: Value = serde_json::from_str(body).expect("the body is JSON");
        let id = header("x-hudson-delivery");
        assert_eq!((&body["id"], &body["schema"]), (&json!(id), &json!("1")));
        Self { id, timestamp, body }
    }
}

/// Every delivery, once there are so many.
#[track_caller]
fn deliveries(receiver: &Upstream, count: usize, limit: Duration) -> Vec<Delivery> {
    raw::wait_until(limit, || (receiver.seen().len() >= count).then_some(()));
    let seen = receiver.seen();
    assert_eq!(seen.len(), count, "{seen:#?}");
    seen.iter().map(|request| Delivery::of(request)).collect()
}

#[track_caller]
fn has(body: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(body.get(name), Some(value), "{name}: {body:#}");
    }
}

#[test]
fn each_decision_arrives_once_and_signed_with_three_processes_running() {
    let receiver = Upstream::start(|_| ok("", b""));
    let stage = stage(&settings(receiver.address, ""));
    let told = stage.bottle_add("ci", &[]);
    let (_second, address) = second(&stage, "proxy");
    let address = address.expect("the ready file tells an address");
    let _beside = run_beside(&stage);
    let ca = stage.world.home().join("ca/ca.pem");
    let agents = [Agent::new(stage.address, &told, &ca), Agent::new(address, &told, &ca)];

    agents[0].post("api.anthropic.com", "/v1/messages", &message("7900-100")).passed();
    let [warning] = deliveries(&receiver, 1, SOON).try_into().unwrap_or_else(|_| panic!("one"));
    let global = json!({"kind": "global", "key": ""});
    has(
        &warning.body,
        &json!({"event": "budget_warning", "scope": global, "provider": "claude", "limit": 10000, "spent": 8000,
                "percent": 80, "policy": "cutoff"}),
    );
    // Nobody tells of it again, and neither does an order that stands already.
    agents[1].post("api.anthropic.com", "/v1/messages", &message("10-5")).passed();
    for _ in 0..2 {
        stage.hudson(&["bottle", "cutoff", "ci", "--reason", "it digs for gold"]).exited(0);
    }
    let stopped = deliveries(&receiver, 2, SOON).pop().expect("the second");
    let ci = json!({"kind": "bottle", "key": "ci"});
    let cause = "an operator's order: it digs for gold";
    let order =
        json!({"event": "bottle_stopped", "bottle": "ci", "scope": ci, "policy": "cutoff", "cause": cause});
    has(&stopped.body, &order);
    assert!(stopped.body.get("limit").is_none(), "an order has no limit: {:#}", stopped.body);
    stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    let resumed = deliveries(&receiver, 3, SOON).pop().expect("the third");
    has(&resumed.body, &json!({"event": "bottle_resumed", "bottle": "ci", "cause": cause}));

    // Lowered to what is spent: a crossing, and a limit of which nobody was warned.
    stage.hudson(&["budget", "set", "claude=8015"]).exited(0);
    let crossed = deliveries(&receiver, 5, SOON).split_off(3);
    let of = |event: &str| crossed.iter().find(|one| one.body["event"] == event).expect("it is told");
    has(
        &of("bottle_stopped").body,
        &json!({"scope": global, "limit": 8015, "spent": 8015, "provider": "claude"}),
    );
    has(&of("budget_warning").body, &json!({"limit": 8015, "spent": 8015, "percent": 95}));
    stage.hudson(&["budget", "set", "claude=1M"]).exited(0);
    let lifted = deliveries(&receiver, 6, SOON).pop().expect("the last");
    has(&lifted.body, &json!({"event": "bottle_resumed", "scope": global, "limit": 8015}));

    std::thread::sleep(A_WHILE);
    let all = deliveries(&receiver, 6, SOON);
    let ids: BTreeSet<_> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), 6, "each is one of its own");
    assert_eq!(
        status(&stage)["notifications"],
        json!({"undelivered": 0, "last_failure": null, "not_heard": []})
    );
}

#[test]
fn a_receiver_that_fails_is_tried_again_with_the_same_id() {
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = Upstream::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => FAILING.to_vec(),
        _ => ok("", b""),
    });
    let stage = stage(&settings(receiver.address, ", retry: [1s, 1s]"));
    stage.bottle_add("ci", &[]);
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let all = deliveries(&receiver, 3, SOON);
    assert!(all.iter().all(|one| one.id == all[0].id && one.body == all[0].body), "it is the same one");
    assert!(all[2].timestamp > all[0].timestamp, "each attempt is signed anew");
    raw::wait_until(SOON, || (status(&stage)["notifications"]["undelivered"] == 0).then_some(()))
        .expect("it is delivered");
    assert_eq!(status(&stage)["notifications"]["last_failure"], Value::Null);
    assert!(stage.events("notify_failed").is_empty());
    assert_eq!(stage.events("notify_deferred").len(), 2);
}

#[test]
fn what_cannot_be_delivered_is_given_up_aloud_and_no_secret_is_told() {
    let receiver = Upstream::start(|_| FAILING.to_vec());
    let hidden = format!("http://{}/{SECRET_PATH}", receiver.address);
    let settings = settings(receiver.address, ", retry: [1s]")
        .replace("}}]", "}}, {webhook: {url_env: HOOK_URL, secret_env: HOOK_SECRET}}]");
    let stage = setting(&settings).env("HOOK_URL", &hidden).start();
    let agent = stage.agent();
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let failed = stage.event("notify_failed");
    assert_eq!((&failed["attempt"], &failed["error"]), (&json!(2), &json!("answered 500")), "{failed}");
    assert!(failed["channel"].as_str().is_some_and(|name| name.starts_with("webhook:127.0.0.1")), "{failed}");
    // The other one waits a minute, and keeps nobody.
    let told = status(&stage)["notifications"].clone();
    assert_eq!(told["undelivered"], 1, "{told:#}");
    let failure = &told["last_failure"];
    assert_eq!((&failure["event"], &failure["error"]), (&json!("bottle_stopped"), &json!("answered 500")));
    let shown = stage.hudson(&["status"]).exited(0).text();
    assert!(shown.contains("1 not delivered yet") && shown.contains("answered 500"), "{shown}");
    agent.get("api.anthropic.com", "/v1/models").refused(403, "bottle_cut_off");

    let deferred = stage.events("notify_deferred");
    assert!(deferred.iter().any(|one| one["channel"] == "webhook:$HOOK_URL"), "{deferred:#?}");
    let mut everything = stage.log() + &shown + &told.to_string();
    everything += &stage.hudson(&["audit", "export"]).everything();
    for file in std::fs::read_dir(stage.world.home()).expect("the home is there").flatten() {
        if file.file_type().is_ok_and(|kind| kind.is_file()) {
            everything += &String::from_utf8_lossy(&std::fs::read(file.path()).expect("it is readable"));
        }
    }
    for secret in [SECRET, SECRET_PATH] {
        assert!(!everything.contains(secret), "{secret} is told");
    }
}

#[test]
fn what_a_killed_process_had_begun_is_delivered_by_the_next_with_the_same_id() {
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = Upstream::start(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            // Longer than an answer is waited for: the first attempt can not succeed.
            std::thread::sleep(Duration::from_secs(8));
        }
        ok("", b"")
    });
    let mut stage = stage(&settings(receiver.address, ""));
    stage.bottle_add("ci", &[]);
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    deliveries(&receiver, 1, SOON);
    stage.signal(rustix::process::Signal::KILL);
    stage.ends_within(SOON);
    // It is still on its way, as far as anybody knows.
    assert_eq!(status(&stage)["notifications"]["undelivered"], 1);
    let (_second, _) = second(&stage, "controller");
    let all = deliveries(&receiver, 2, TAKEN_OVER);
    assert_eq!((&all[0].id, &all[0].body), (&all[1].id, &all[1].body));
    raw::wait_until(SOON, || (status(&stage)["notifications"]["undelivered"] == 0).then_some(()))
        .expect("it is delivered");
}

#[test]
fn a_run_of_its_own_tells_before_it_ends() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let receiver = Upstream::start(move |_| {
        // Long after the run was killed.
        std::thread::sleep(Duration::from_secs(1));
        count.fetch_add(1, Ordering::Relaxed);
        ok("", b"")
    });
    let world = World::new();
    let settings = settings(receiver.address, "").replace("budget: {claude: 10000}", "shutdown: kill");
    world.configure("settings.yml", &settings);
    let body = message("950-100");
    let script = format!(
        "curl -sS -o answer.json https://api.anthropic.com/v1/messages -H 'content-type: application/json' \
         -d '{body}'; sleep 30"
    );
    let launch = world.launch().provider("claude").budget("claude=1000").env("HOOK_SECRET", SECRET);
    let outcome = launch.env(ANTHROPIC.variable, ANTHROPIC.value).run(&Invocation::shell(&script));
    outcome.exited(77);
    assert_eq!(answered.load(Ordering::Relaxed), 2, "{outcome}");
    // At once: what was not delivered by its end would be left to the next process.
    let mut told: Vec<_> = receiver.seen().iter().map(|request| Delivery::of(request).body).collect();
    told.sort_by_key(|body| body["event"].to_string());
    let [stopped, warning] = told.as_slice() else { panic!("{told:#?}") };
    has(stopped, &json!({"event": "bottle_stopped", "bottle": "claude", "policy": "kill", "limit": 1000}));
    has(warning, &json!({"event": "budget_warning", "bottle": "claude", "percent": 95}));
}

#[test]
fn neither_a_redirect_nor_a_proxy_of_the_environment_is_followed() {
    let elsewhere = Upstream::start(|_| ok("", b""));
    let location = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\n", elsewhere.address);
    let answer = format!("{location}content-length: 0\r\n\r\n").into_bytes();
    let receiver = Upstream::start(move |_| answer.clone());
    let mut setting = setting(&settings(receiver.address, ", retry: []"));
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        setting = setting.env(name, &format!("http://{}", elsewhere.address));
    }
    let stage = setting.start();
    stage.bottle_add("ci", &[]);
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let failed = stage.event("notify_failed");
    assert_eq!(failed["error"], "answered 307, and redirects are not followed");
    deliveries(&receiver, 1, SOON);
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
}

#[test]
fn changed_settings_are_gone_by_and_those_without_their_secret_are_not() {
    let [before, after] = [(); 2].map(|()| Upstream::start(|_| ok("", b"")));
    let stage = stage(&settings(before.address, ""));
    stage.bottle_add("ci", &[]);
    let reload = |text: &str, event: &str| {
        stage.world.configure("settings.yml", text);
        stage.signal(rustix::process::Signal::HUP);
        stage.event(event)
    };
    reload(&settings(after.address, ""), "configuration_reloaded");
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    deliveries(&after, 1, SOON);
    let kept = reload(&settings(before.address, "").replace("HOOK_SECRET", "GONE"), "configuration_kept");
    assert!(kept["error"].as_str().is_some_and(|error| error.contains("variable GONE is not set")), "{kept}");
    stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    deliveries(&after, 2, SOON);
    assert_eq!(before.seen(), Vec::<String>::new());
}

#[test]
fn a_certificate_that_nobody_vouches_for_gets_nothing() {
    let world = World::new();
    let settings = "notify: [{webhook: {url_env: HOOK_URL, secret_env: HOOK_SECRET, retry: []}}]\n";
    // This one's CA is not the one that Hudson is told to trust.
    let url = format!("https://{}/{SECRET_PATH}", world.simulator.address());
    let stage = setting(settings).env("HOOK_URL", &url).start();
    stage.bottle_add("ci", &[]);
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let failed = stage.event("notify_failed");
    let error = failed["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("the host in HOOK_URL: TLS: "), "{failed}");
    assert!(!stage.log().contains(SECRET_PATH), "the URL is told");
    assert!(world.simulator.journal().entries().is_empty(), "something was sent");
}

#[test]
fn a_secret_that_is_missing_is_said_at_the_start() {
    let world = World::new();
    let receiver = Upstream::start(|_| ok("", b""));
    world.configure("settings.yml", &settings(receiver.address, ""));
    for words in [&["up"][..], &["controller"], &["run", "--embedded", "--", "true"]] {
        let mut command = clients::clean(&hudson::binary().display().to_string());
        command.env("HOME", world.operator_home()).current_dir(world.work());
        command.args(&words[..1]).arg("--home").arg(world.home()).args(&words[1..]);
        let outcome = process::run(&mut command, SOON);
        let expected =
            "settings.yml: notify[0].webhook.secret_env: the environment variable HOOK_SECRET is not set";
        assert!(outcome.exited(2).stderr.contains(expected), "{outcome}");
    }
}
