//! What rules count: rates with their Retry-After, counters by amount, what is given back and what is not, and a process
//! that is killed.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{HOST, Scene, ask, routes};
use crate::raw::upstream::ok;
use crate::raw::{self, Upstream};

#[test]
fn a_rate_is_kept_and_says_when_to_come_again() {
    let scene = Scene::new(&[
        "{name: writes, action: allow, on_deny: Slow down!, rate_limit: 3/day, conditions: [{path: method, op: eq, value: POST}]}",
        "{name: reads, action: allow, conditions: [{path: method, op: eq, value: GET}]}",
    ]);
    for _ in 0..3 {
        scene.post("{}").passed();
    }
    let answer = scene.post("{}").refused(429, "rate_limited").says("Slow down! The rule").says("3 are used");
    let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("it says when");
    assert!((1..=86_400).contains(&seconds), "{answer}");
    assert_eq!(answer.header("x-should-retry"), None, "it helps to come again");
    scene.get("/").passed();
    // A rate is a bottle's, whatever run of it asks; other bottles have their own.
    ask(&scene.stage.agent(), "POST", "/charges", "", b"").refused(429, "rate_limited");
    assert_eq!(scene.arrived(), 4);
}

/// However many come at once, over HTTP: as many pass as may.
#[test]
fn a_rate_is_kept_by_many_at_once() {
    let scene = Scene::new(&["{name: few, action: allow, rate_limit: 7/day}"]);
    let agent = &scene.agent;
    let passed = std::thread::scope(|scope| {
        let ask = || scope.spawn(move || ask(agent, "GET", "/", "", b"").status);
        let asked: Vec<_> = (0..30).map(|_| ask()).collect();
        asked
            .into_iter()
            .map(|one| one.join().expect("it is answered"))
            .filter(|status| *status == 200)
            .count()
    });
    assert_eq!((passed, scene.arrived()), (7, 7));
}

#[test]
fn a_counter_adds_up_what_the_requests_say() {
    let scene = Scene::new(&[
        "{name: enough, action: deny, on_deny: Nothing is left for today, conditions: [{path: state.bottle.spent, op: gte, value: 100}]}",
        "{name: spend, action: allow, state: {counter: spent, window: day, increment_from: body.amount, limit: 150}}",
    ]);
    scene.post(r#"{"amount":60}"#).passed();
    scene.post(r#"{"amount":91}"#).refused(429, "rate_limited").says("60 are used");
    scene.post(r#"{"amount":-50}"#).refused(400, "malformed_request").says("below 0");
    scene.post(r#"{"amount":"1"}"#).refused(400, "malformed_request");
    scene.post(r#"{"amount":39.5}"#).passed();
    scene.post(r#"{"amount":1}"#).refused(403, "rule_denied").says("Nothing is left for today.");
    scene.get("/").refused(403, "rule_denied");
    assert_eq!(scene.arrived(), 2);
}

/// A judgement by a counter stands only while the counter does.
#[test]
fn a_counter_that_is_asked_for_holds_against_many_at_once() {
    let scene = Scene::new(&[
        "{name: enough, action: deny, conditions: [{path: state.bottle.calls, op: gte, value: 5}]}",
        "{name: count, action: allow, state: {counter: calls, window: day}}",
    ]);
    let agent = &scene.agent;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || scope.spawn(move || ask(agent, "GET", "/", "", b"").status);
        let asked: Vec<_> = (0..25).map(|_| ask()).collect();
        asked.into_iter().map(|one| one.join().expect("it is answered")).collect()
    });
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(403), scene.arrived()), (5, 20, 5), "{statuses:?}");
}

#[test]
fn counters_are_their_scopes() {
    let scene = Scene::new(&[
        "{name: a, action: allow, conditions: [{path: path, op: eq, value: /run}], state: {counter: r, window: day, scope: run, limit: 1}}",
        "{name: b, action: allow, conditions: [{path: path, op: eq, value: /agent}], state: {counter: a, window: day, scope: agent, limit: 1}}",
        "{name: c, action: allow, conditions: [{path: path, op: eq, value: /bottle}], state: {counter: b, window: day, limit: 1}}",
        "{name: d, action: allow, conditions: [{path: path, op: eq, value: /global}], state: {counter: g, window: day, scope: global, limit: 1}}",
    ]);
    let stage = &scene.stage;
    stage.world.configure(
        "bottles/dev/routes.yaml",
        &std::fs::read_to_string(stage.world.home().join("bottles/ci/routes.yaml")).expect("it is there"),
    );
    let agents = [
        stage.agent_in("ci", &["--agent", "one"]),
        stage.agent_in("ci", &["--agent", "one"]),
        stage.agent_in("ci", &["--agent", "two"]),
        stage.agent_in("dev", &["--agent", "one"]),
        stage.agent_in("dev", &["--agent", "three"]),
    ];
    for (path, passing) in [
        ("/run", [true, true, true, true, true]),
        ("/agent", [true, false, true, false, true]),
        ("/bottle", [true, false, false, true, false]),
        ("/global", [true, false, false, false, false]),
    ] {
        let passed = agents.each_ref().map(|agent| ask(agent, "GET", path, "", b"").status == 200);
        assert_eq!(passed, passing, "{path}");
    }
}

#[test]
fn what_did_not_leave_is_given_back() {
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("an address");
    let upstream = Upstream::echo();
    let rules = ["{name: few, action: allow, rate_limit: 1/day}"];
    let block = |routes: String| routes.replace("    rules:", "    outbound_on_match: block\n    rules:");
    let setting = raw::routes(&block(routes(&rules))).file(
        "bottles/dead/routes.yaml",
        &routes(&rules)
            .replace("    rules:", &format!("    upstream: {{connect_to: \"{dead}\"}}\n    rules:")),
    );
    let stage = setting.connect_to(&format!("{HOST}:80"), upstream.address).start();
    let agent = stage.agent_in("dead", &[]);
    for _ in 0..3 {
        ask(&agent, "GET", "/", "", b"").refused(502, "upstream_unreachable");
    }
    // Nor does what is refused here after it was judged: it is DLP that keeps this in.
    let agent = stage.agent();
    for _ in 0..3 {
        ask(&agent, "POST", "/", "", crate::dlp::TOKEN.as_bytes()).refused(403, "dlp_blocked");
    }
    ask(&agent, "GET", "/", "", b"").passed();
    ask(&agent, "GET", "/", "", b"").refused(429, "rate_limited");
}

/// A request that its budget refuses did not leave.
#[test]
fn what_a_budget_refuses_is_given_back() {
    let answer = br#"{"id":"m1","type":"message","model":"m","usage":{"input_tokens":9,"output_tokens":5}}"#;
    let upstream = Upstream::start(move |_| ok("content-type: application/json\r\n", answer));
    let routes = "routes:\n  - host: models.example.com\n    scheme: http\n    \
                  meter: {provider: claude, format: anthropic}\n    rules:\n      \
                  - {name: few, action: allow, rate_limit: 1/day}\n";
    let setting = raw::routes(routes).settings("budget: {claude: 2000}\n");
    let stage = setting.connect_to("models.example.com:80", upstream.address).start();
    let agent = stage.agent();
    let call = |text: &str| {
        let body =
            format!(r#"{{"model":"m","max_tokens":300,"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let head = agent.absolute("POST", "http://models.example.com/v1/messages", &headers);
        raw::ask(&mut agent.socket(), &format!("{head}{body}"))
    };
    call(&"many words ".repeat(5_000)).refused(403, "budget_exhausted");
    assert_eq!(upstream.seen().len(), 0);
    let passes = || (call("few").status == 200).then_some(());
    let soon = std::time::Duration::from_secs(5);
    assert!(raw::wait_until(soon, passes).is_some(), "it stays counted:\n{}", stage.log());
    call("few").refused(429, "rate_limited");
}

/// What the upstream failed at is given back where the rule says so, and nowhere else: it may have acted all the same.
#[test]
fn what_the_upstream_failed_at_is_given_back_where_the_rule_says_so() {
    let fails = Arc::new(AtomicBool::new(true));
    let upstream = {
        let fails = fails.clone();
        Upstream::start(move |_| match fails.load(Ordering::Relaxed) {
            true => b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n".to_vec(),
            false => ok("", b"done"),
        })
    };
    let scene = Scene::with(
        upstream,
        &[
            "{name: a, action: allow, conditions: [{path: path, op: eq, value: /back}], rate_limit: 1/day, rollback_on: [not_sent, upstream_error]}",
            "{name: b, action: allow, conditions: [{path: path, op: eq, value: /kept}], rate_limit: 1/day}",
        ],
        |setting| setting,
    );
    for _ in 0..3 {
        assert_eq!(scene.get("/back").status, 503);
    }
    assert_eq!(scene.get("/kept").status, 503);
    scene.get("/kept").refused(429, "rate_limited");
    fails.store(false, Ordering::Relaxed);
    scene.get("/back").passed();
    scene.get("/back").refused(429, "rate_limited");
}

/// A request that was under way when the proxy was killed is counted.
#[test]
fn a_killed_proxy_gives_nothing_back() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("an address");
    let rules = ["{name: few, action: allow, rate_limit: 1/day, rollback_on: [not_sent, upstream_error]}"];
    let mut stage = raw::routes(&routes(&rules)).connect_to(&format!("{HOST}:80"), address).start();
    let agent = stage.agent();
    use std::io::{Read as _, Write as _};
    let mut socket = agent.socket();
    let head = agent.absolute("GET", &format!("http://{HOST}/"), "");
    socket.write_all(head.as_bytes()).expect("the proxy reads");
    let (mut arrived, _) = silent.accept().expect("it arrives");
    arrived.read_exact(&mut [0; 4]).expect("it arrives");
    stage.signal(rustix::process::Signal::KILL);
    stage.ends_within(std::time::Duration::from_secs(10));
    let used: i64 = counted(&stage, "SELECT sum(used) FROM counters");
    assert_eq!((used, counted(&stage, "SELECT count(*) FROM counter_reservations")), (1, 1));
    // Whoever takes over does not give it back either.
    stage.hudson(&["bottle", "list"]).exited(0);
    let mut command = hudson_tests::clients::clean(&hudson_tests::hudson::binary().display().to_string());
    command.args(["run", "--isolation", "none", "--bottle", "ci", "--home"]).arg(stage.world.home());
    command.env("HOME", stage.world.operator_home()).current_dir(stage.world.work());
    command.args(["--", "true"]);
    let outcome = hudson_tests::process::run(&mut command, std::time::Duration::from_secs(20));
    outcome.exited(0);
    let used: i64 = counted(&stage, "SELECT sum(used) FROM counters");
    assert_eq!((used, counted(&stage, "SELECT count(*) FROM counter_reservations")), (1, 0));
}

fn counted(stage: &raw::Stage, query: &str) -> i64 {
    let file = stage.world.home().join("bot-bottle.db");
    let ledger = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let ledger = ledger.expect("the ledger opens");
    ledger.query_row(query, [], |row| row.get(0)).expect("the ledger has these tables")
}
