//! The JSON API of the control socket: the same answers as the commands, orders, bounds, and events as they come.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use hudson_tests::process;
use serde_json::{Value, json};

use super::{KEY, ROUTES, SOON, call, connect, get, message, read_until, refused, write};
use crate::raw::{self, Stage};

const HOST: &str = "api.anthropic.com";

fn stage() -> Stage {
    raw::routes(ROUTES).settings("budget: {claude: 1M}\n").env("THE_KEY", KEY).start()
}

#[test]
fn answers_are_what_the_commands_print() {
    let stage = stage();
    stage.agent().post(HOST, "/v1/messages", &message("100-50")).passed();
    stage.hudson(&["bottle", "cutoff", "ci", "--reason", "it digs for gold"]).exited(0);
    let home = stage.world.home();
    for (path, words) in [
        ("/v1/status", &["status"][..]),
        ("/v1/bottles", &["bottle", "list"]),
        ("/v1/bottles/ci", &["bottle", "show", "ci"]),
        ("/v1/budgets", &["budget", "show"]),
        ("/v1/budgets?bottle=ci", &["budget", "show", "--bottle", "ci"]),
        ("/v1/usage", &["usage"]),
        ("/v1/usage?by=model,run", &["usage", "--by", "model,run"]),
        ("/v1/usage?bottle=ci&rows=true", &["usage", "--bottle", "ci", "--rows"]),
    ] {
        let printed = stage.hudson(&[words, &["--json"]].concat());
        let printed: Value = serde_json::from_slice(&printed.exited(0).stdout).expect("JSON");
        assert_eq!(get(&home, path), printed, "{path}");
    }
    let runs = get(&home, "/v1/runs");
    assert_eq!((&runs[0]["bottle"], &runs[0]["finished_at"]), (&json!("ci"), &Value::Null), "{runs}");
    stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    stage.hudson(&["bottle", "remove", "ci"]).exited(0);
    assert_eq!(get(&home, "/v1/runs"), json!([]));
    assert!(get(&home, "/v1/runs?all=true")[0]["finished_at"].is_u64());
    let told = get(&home, "/v1/version");
    assert_eq!((&told["role"], &told["pid"]), (&json!("up"), &json!(stage.process())), "{told}");
    assert_eq!(told["addresses"], json!([stage.address.to_string()]));
}

#[test]
fn orders_are_carried_out_and_what_cannot_be_is_said() {
    let stage = stage();
    let (home, agent) = (stage.world.home(), stage.agent());
    let order =
        |name: &str, what: &str, body: &str| call(&home, "POST", &format!("/v1/bottles/{name}/{what}"), body);
    let done = order("ci", "cutoff", r#"{"reason": "it digs for gold"}"#);
    assert_eq!((done.status, &done.json()["new"]), (200, &json!(true)), "{}", done.text());
    agent.get("files.example.com", "/hello.txt").refused(403, "bottle_cut_off").says("it digs for gold");
    assert_eq!(order("ci", "cutoff", "").json()["new"], false);
    assert_eq!(order("ci", "resume", "").status, 200);
    raw::wait_until(SOON, || (agent.get("files.example.com", "/hello.txt").status == 200).then_some(()))
        .expect("it is resumed");
    assert!(refused(&order("ci", "resume", ""), 409, "conflict").contains("not stopped"));
    assert!(refused(&order("nobody", "cutoff", ""), 404, "not_found").contains("there is no bottle nobody"));
    refused(&order("a%2fb", "cutoff", ""), 400, "invalid");
    let unknown = refused(&order("ci", "cutoff", r#"{"raeson": "x"}"#), 400, "invalid");
    assert!(unknown.contains("raeson"), "{unknown}");
    // Nobody on this host has its process: it is ordered, and not done.
    let killed = order("ci", "kill", "{}");
    assert_eq!(
        (killed.status, &killed.json()["runs"][0]["state"]),
        (202, &json!("failed")),
        "{}",
        killed.text()
    );
    agent.get("files.example.com", "/hello.txt").refused(403, "bottle_killed");
}

#[test]
fn limits_are_set_and_taken_back() {
    let stage = stage();
    let (home, agent) = (stage.world.home(), stage.agent());
    agent.post(HOST, "/v1/messages", &message("100-50")).passed();
    let change = |body: &str| call(&home, "POST", "/v1/budgets", body);
    let set = change(r#"{"bottle": "ci", "set": {"claude": 120}}"#);
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!((&set.json()[0]["limit"], &set.json()[0]["source"]), (&json!(120), &json!("override")));
    raw::wait_until(SOON, || (agent.get("files.example.com", "/hello.txt").status == 403).then_some(()))
        .expect("what is spent stops it");
    let cleared = change(r#"{"bottle": "ci", "clear": []}"#);
    assert_eq!((cleared.status, cleared.json()), (200, json!([])), "no limit of the bottle is left");
    assert_eq!(change(r#"{"bottle": "ci", "clear": ["claude"]}"#).json(), json!([]));
    for (body, why) in [
        (r#"{"bottle": "ci"}"#, "either"),
        (r#"{"set": {}}"#, "either"),
        (r#"{"set": {"claude": 1}, "clear": []}"#, "either"),
        (r#"{"bottle": "ci", "agent": "a", "clear": []}"#, "exclude"),
        (r#"{"set": {"cluade": 1}}"#, "there is no provider cluade"),
        (r#"{"sett": {"claude": 1}}"#, "sett"),
        (r#"{"set": {"claude": -1}}"#, "negative"),
        ("[", "EOF"),
    ] {
        let said = refused(&change(body), 400, "invalid");
        assert!(said.contains(why), "{body}: {said}");
    }
    refused(&change(r#"{"run": "nobody", "set": {"claude": 1}}"#), 404, "not_found");
    // Files that cannot be read are the operator's to mend, and no fault of who asks.
    stage.world.configure("settings.yml", "budget: {claude: ten}\n");
    let fault = refused(&call(&home, "GET", "/v1/budgets", ""), 500, "configuration_fault");
    assert!(fault.contains("settings.yml:1:18"), "{fault}");
}

#[test]
fn what_is_not_known_or_too_much_is_refused() {
    let stage = stage();
    let home = stage.world.home();
    let mode = std::fs::metadata(home.join("run/hudson.sock")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    refused(&call(&home, "GET", "/v1/nothing", ""), 404, "not_found");
    let wrong = call(&home, "DELETE", "/v1/budgets", "");
    refused(&wrong, 405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET, POST"));
    for path in ["/v1/usage?by=hosts", "/v1/usage?bye=run", "/v1/runs?all=perhaps", "/v1/events?after=x"] {
        refused(&call(&home, "GET", path, ""), 400, "invalid");
    }
    refused(&call(&home, "GET", "/v1/usage?bottle=nobody", ""), 404, "not_found");
    let long = "x".repeat(1 << 20);
    refused(&call(&home, "POST", "/v1/budgets", &format!("\"{long}\"")), 413, "body_too_large");
    let head = format!("GET /v1/version HTTP/1.1\r\nHost: hudson\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(raw::ask(&mut connect(&home), &head).status, 431);
    // A body that says a credential is not quoted.
    let said =
        call(&home, "POST", "/v1/runs/x/serve", &format!(r#"{{"secrets": {{"A": {{"valeu": "{KEY}"}}}}}}"#));
    let said = refused(&said, 400, "invalid") + &stage.log();
    assert!(said.contains("line 1") && !said.contains(KEY) && !said.contains("valeu"), "{said}");
    refused(&call(&home, "POST", "/v1/runs/nobody/serve", "{}"), 404, "not_found");
    assert!(get(&home, "/v1/openapi.json")["paths"]["/v1/bottles/{name}/kill"]["post"].is_object());
}

#[test]
fn curl_is_answered() {
    let stage = stage();
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "--unix-socket"]).arg(stage.world.home().join("run/hudson.sock"));
    curl.arg("http://hudson/v1/status");
    let outcome = process::run(&mut curl, SOON);
    let told: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    assert_eq!(told["up"]["pid"], stage.process(), "{told}");
}

/// The ids of the rows in a stream of events.
fn ids(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok()).collect()
}

#[test]
fn events_come_as_they_happen_and_are_taken_up_where_they_ended() {
    let stage = stage();
    let (home, agent) = (stage.world.home(), stage.agent());
    let listen = |more: &str, query: &str| {
        let mut stream = connect(&home);
        write(&mut stream, &format!("GET /v1/events{query} HTTP/1.1\r\nHost: hudson\r\n{more}\r\n"));
        let head = read_until(&mut stream, |text| text.contains(": hudson"));
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        stream
    };
    // From now on: what was before is not told.
    let mut live = listen("", "");
    stage.hudson(&["bottle", "cutoff", "ci", "--reason", "it digs for gold"]).exited(0);
    agent.get("files.example.com", "/hello.txt").refused(403, "bottle_cut_off");
    let told =
        read_until(&mut live, |text| text.contains("it digs for gold") && text.contains("\"refusal\""));
    assert!(
        told.contains("event: audit\ndata: {\"seq\":") && told.contains("event: event\ndata: {\"ts\":"),
        "{told}"
    );
    let first = ids(&told)[0];
    assert!(first > 1, "{told}");
    assert!(!told.contains("run_start"), "{told}");
    // All of it, in order, by either way to say so.
    for (more, query) in [("", "?after=0"), ("Last-Event-ID: 0\r\n", "")] {
        let mut whole = listen(more, query);
        let text = read_until(&mut whole, |text| ids(text).contains(&first));
        let seen = ids(&text);
        assert_eq!(seen, (1..=*seen.last().expect("some")).collect::<Vec<_>>(), "{text}");
    }
    let mut later = listen("", &format!("?after={first}"));
    stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    let text = read_until(&mut later, |text| text.contains("block_lift") || text.contains("resume"));
    assert!(ids(&text).iter().all(|id| *id > first), "{text}");
}

#[test]
fn listeners_do_not_hold_up_the_end() {
    let mut stage = stage();
    let mut stream = connect(&stage.world.home());
    write(&mut stream, "GET /v1/events HTTP/1.1\r\nHost: hudson\r\n\r\n");
    read_until(&mut stream, |text| text.contains(": hudson"));
    stage.signal(rustix::process::Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    assert!(!stage.world.home().join("run/hudson.sock").exists());
}
