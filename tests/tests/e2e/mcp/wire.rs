//! What an MCP client and server may say, by hand: bodies that two servers read in two ways, batches, rules on arguments,
//! lists in pieces, and what is no MCP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hudson_schema::ledger::ApprovalId;
use serde_json::{Value, json};

use super::{HOST, stage};
use crate::approvals::Desk;
use crate::dlp::TOKEN;
use crate::raw::answer::read_answer;
use crate::raw::upstream::ok;
use crate::raw::{self, Agent, Answer, Stage, Upstream};

const JSON: &str = "content-type: application/json\r\n";
const RULES: &str = "      hide: [hidden]\n      tools: {gone: {action: deny}}\n";

fn call(id: Value, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

fn ask(agent: &Agent, method: &str, headers: &str, body: &[u8]) -> Answer {
    let length = format!("content-length: {}\r\n", body.len());
    let head = agent.absolute(method, &format!("http://{HOST}/mcp"), &format!("{length}{headers}"));
    let mut socket = agent.socket();
    socket.write_all(&[head.as_bytes(), body].concat()).expect("the proxy reads");
    read_answer(&mut socket, false).expect("it is answered")
}

fn post(agent: &Agent, body: &Value) -> Answer {
    ask(agent, "POST", JSON, body.to_string().as_bytes())
}

/// A server that answers each request with a result, or with an error where the text asks for one.
fn server() -> Upstream {
    Upstream::start(|request| {
        let answer = match request.contains("please fail") {
            true => json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}}),
            false => json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [], "isError": true}}),
        };
        ok(JSON, answer.to_string().as_bytes())
    })
}

/// A refusal of one call.
#[track_caller]
fn denied(answer: &Answer, id: &Value) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer}");
    let told = answer.json();
    assert_eq!((&told["jsonrpc"], &told["id"]), (&json!("2.0"), id), "{answer}");
    told["error"].clone()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes all")
}

#[test]
fn what_can_be_read_in_two_ways_reaches_no_server() {
    let upstream = server();
    let stage = stage(RULES, upstream.address).start();
    let agent = stage.agent();
    let fine = call(json!(1), "read", json!({})).to_string();
    let gone = call(json!(1), "gone", json!({})).to_string();
    for (headers, body) in [
        (JSON, ""),
        (JSON, "{}"),
        (JSON, "[]"),
        (JSON, "name=gone"),
        (JSON, &format!("\u{feff}{fine}")),
        (JSON, &format!("{fine}{gone}")),
        (JSON, &fine.replace("\"read\"", "\"read\",\"name\":\"gone\"")),
        (JSON, &fine.replace("\"read\"", "\"read\",\"Name\":\"gone\"")),
        (JSON, &fine.replace("\"method\"", "\"Method\":\"ping\",\"method\"")),
        (JSON, &fine.replace("tools/call", "Tools/Call")),
        (JSON, &fine.replace("\"id\":1", "\"id\":null")),
        (JSON, &fine.replace("\"2.0\"", "\"1.0\"")),
        (JSON, &format!("[{fine},{fine}]")),
        ("content-type: application/json; charset=utf-7\r\n", &fine),
        ("content-type: application/json\r\ncontent-type: text/plain; charset=utf-16\r\n", &fine),
        ("content-type: application/json\r\nmcp-method: ping\r\n", &fine),
        ("content-type: application/json\r\nmcp-name: gone\r\n", &fine),
        ("content-type: application/json\r\nmcp-name: read\r\nmcp-name: gone\r\n", &fine),
    ] {
        let answer = ask(&agent, "POST", headers, body.as_bytes()).refused(400, "malformed_request");
        let told = answer.json();
        assert_eq!((&told["id"], &told["error"]["code"]), (&Value::Null, &json!(-32600)), "{headers}{body}");
    }
    let unread = "content-type: application/json\r\ncontent-encoding: x-own\r\n";
    ask(&agent, "POST", unread, fine.as_bytes()).refused(415, "body_unreadable");
    // Whatever the method is called: what is posted is read.
    for method in ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "QUERY"] {
        let answer = ask(&agent, method, JSON, gone.as_bytes());
        assert_eq!(denied(&answer, &json!(1))["code"], -32004, "{method}");
    }
    assert_eq!(upstream.seen(), [""; 0]);
    // What is fine passes, and what was compressed goes on as it was read.
    ask(&agent, "POST", JSON, fine.as_bytes()).passed();
    let packed = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    ask(&agent, "POST", packed, &gzip(fine.as_bytes())).passed();
    let seen = upstream.seen();
    assert!(seen.len() == 2 && seen.iter().all(|request| request.ends_with(&fine)), "{seen:?}");
    assert!(!seen[1].to_lowercase().contains("content-encoding"), "{seen:?}");
    let answer = ask(&agent, "POST", packed, &gzip(gone.as_bytes()));
    assert_eq!(denied(&answer, &json!(1))["data"]["tool"], "gone");
}

#[test]
fn a_batch_goes_together_or_not_at_all() {
    let upstream = server();
    let rules = "      tools: {gone: {action: deny}, pay: {action: require_approval}}\n";
    let stage = stage(rules, upstream.address).start();
    let agent = stage.agent();
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let reply = json!({"jsonrpc": "2.0", "id": "server-1", "result": {}});
    let read = |id: i64| call(json!(id), "read", json!({}));
    let with = |other: Value| json!([read(1), notice, reply, other]);
    let answer = post(&agent, &with(call(json!("b"), "gone", json!({})))).refused(200, "rule_denied");
    let told = answer.json();
    let ids: Vec<&Value> = told.as_array().into_iter().flatten().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!("b")], "{told}");
    assert_eq!(
        (&told[0]["error"]["data"]["tool"], &told[1]["error"]["code"]),
        (&json!("read"), &json!(-32004))
    );
    post(&agent, &with(call(json!("b"), "pay", json!({})))).refused(200, "rule_denied").says("by itself");
    // A call that wants no answer is one all the same, and nobody can be answered but by HTTP.
    let mut silent = call(json!(1), "gone", json!({}));
    silent.as_object_mut().expect("an object").remove("id");
    let answer = post(&agent, &silent).refused(403, "rule_denied");
    assert_eq!(answer.json()["id"], Value::Null);
    assert_eq!(upstream.seen(), [""; 0]);
    post(&agent, &with(read(2))).passed();
    post(&agent, &json!([notice])).passed();
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn rules_look_at_arguments_and_count_calls() {
    let upstream = server();
    let rules = "      default: deny
      tools:
        pay:
          action: allow
          conditions: [{path: args.amount, op: lte, value: 9007199254740992}, {path: args.to, op: in, value: [a, b]}]
          on_deny: At most so much.
        look: {action: allow, rate_limit: 2/day, rollback_on: [not_sent, upstream_error]}
        '*': {rules: [{name: no secrets, action: deny, conditions: [{path: args.note, op: contains, value: secret}]}]}
";
    let stage = stage(rules, upstream.address).start();
    let agent = stage.agent();
    let raw_call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"pay","arguments":{arguments}}}}}"#
        )
    };
    for (arguments, passes) in [
        (r#"{"amount":5,"to":"a"}"#, true),
        (r#"{"amount":9007199254740992,"to":"b","note":"x"}"#, true),
        (r#"{"amount":9007199254740993,"to":"a"}"#, false),
        (r#"{"amount":"5","to":"a"}"#, false),
        (r#"{"amount":5,"Amount":1e300,"to":"a"}"#, false),
        (r#"{"amount":5}"#, false),
        (r#"{"amount":5,"to":"c"}"#, false),
        (r#"{"amount":5,"to":"a","note":"my secret"}"#, false),
        (r#"{"amount":5,"to":"a","Note":"my secret"}"#, false),
    ] {
        let answer = ask(&agent, "POST", JSON, raw_call(arguments).as_bytes());
        assert_eq!(answer.header("x-hudson-refusal").is_none(), passes, "{arguments}: {answer}");
        if !passes {
            assert_eq!(denied(&answer, &json!(1))["code"], -32004, "{answer}");
        }
    }
    ask(&agent, "POST", JSON, raw_call(r#"{"amount":5,"to":"c"}"#).as_bytes()).says("At most so much.");
    let answer = post(&agent, &call(json!(1), "else", json!({})));
    assert!(
        denied(&answer, &json!(1))["message"].as_str().is_some_and(|text| text.contains("names the tools"))
    );
    // An error of JSON-RPC gives back what was counted, as the rule says; a tool's own error does not.
    let look = |why: &str| post(&agent, &call(json!(1), "look", json!({"why": why})));
    for _ in 0..4 {
        look("please fail").passed();
    }
    look("1").passed();
    look("2").passed();
    let answer = look("3").refused(200, "rate_limited");
    assert!(answer.header("retry-after").is_some());
    let data = denied(&answer, &json!(1))["data"].clone();
    assert!(data["retryable"] == json!(true) && data["retry_after"].as_u64().is_some(), "{data}");
}

/// A list of tools in one event, and what an agent may see of it.
fn events(tools: &str) -> String {
    format!(
        ": hello\r\n\r\nid: 1\r\nevent: message\r\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}}\r\n\r\n\
         id: 2\r\nevent: message\r\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{tools}],\"nextCursor\":\"c\"}}}}\r\n\r\n"
    )
}

const READ: &str = r#"{"name":"read","inputSchema":{"type":"object"}}"#;

fn chunked(headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n").into_bytes();
    for chunk in body.chunks(size) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

#[test]
fn no_split_and_no_encoding_brings_a_hidden_tool_into_a_list() {
    let all = format!(r#"{{"name":"hidden"}},{READ},{{"name":"gone"}}"#);
    let (text, seen) = (events(&all), events(READ));
    let list = |tools: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}],"nextCursor":"c"}}}}"#)
    };
    let upstream = Upstream::start({
        let (text, list) = (text.clone(), list(&all));
        move |request| {
            let header = |name: &str| {
                let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.unwrap_or_default().to_owned()
            };
            let events = "content-type: Text/Event-Stream; charset=utf-8\r\n";
            match header("x-answer").as_str() {
                "gzip" => {
                    let packed = gzip(text.as_bytes());
                    chunked(&format!("{events}content-encoding: gzip\r\n"), &packed, 7)
                }
                "json" => ok(JSON, list.as_bytes()),
                "json-gzip" => ok(&format!("{JSON}content-encoding: gzip\r\n"), &gzip(list.as_bytes())),
                "untyped" => ok("", list.as_bytes()),
                "own" => ok(&format!("{JSON}content-encoding: x-own\r\n"), list.as_bytes()),
                size => chunked(events, text.as_bytes(), size.parse().unwrap_or(1)),
            }
        }
    });
    let stage = stage(RULES, upstream.address).start();
    let agent = stage.agent();
    let asks = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let get = |answer: &str| {
        let headers = format!("{JSON}accept-encoding: gzip, br\r\nx-answer: {answer}\r\n");
        ask(&agent, "POST", &headers, asks.as_bytes())
    };
    for size in (1..=64).chain([text.len()]) {
        assert_eq!(get(&size.to_string()).passed().text(), seen, "chunks of {size}");
    }
    assert_eq!(get("gzip").passed().text(), seen);
    for kind in ["json", "json-gzip", "untyped"] {
        let answer = get(kind).passed();
        assert_eq!((answer.text(), answer.header("content-encoding")), (list(READ), None), "{kind}");
    }
    get("own").refused(200, "body_unreadable");
    let first = upstream.seen().into_iter().next().unwrap_or_default().to_lowercase();
    assert!(first.contains("accept-encoding: identity"), "{first}");
    // The stream that a client opens may bring a list as well.
    let agent = stage.agent();
    let head =
        agent.absolute("GET", &format!("http://{HOST}/mcp"), "accept: text/event-stream\r\nx-answer: 3\r\n");
    let mut socket = agent.socket();
    socket.write_all(head.as_bytes()).expect("the proxy reads");
    assert_eq!(read_answer(&mut socket, false).expect("it is answered").passed().text(), seen);
}

/// Gives what is sent to it to the one client that comes.
fn pausing(head: &'static str) -> (SocketAddr, std::sync::mpsc::Sender<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let (sender, pieces) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut some = [0; 4096];
        if stream.read(&mut some).is_err() || stream.write_all(head.as_bytes()).is_err() {
            return;
        }
        for piece in pieces {
            if stream.write_all(piece.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, sender)
}

/// Reads until this text has come.
#[track_caller]
fn until(socket: &mut std::net::TcpStream, came: &mut String, text: &str) {
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("it takes a time-out");
    let mut some = [0; 4096];
    while !came.contains(text) {
        let count = socket.read(&mut some).unwrap_or_else(|error| panic!("no {text:?} ({error}) in {came}"));
        assert!(count > 0, "no {text:?} before the end of {came}");
        came.push_str(&String::from_utf8_lossy(&some[..count]));
    }
}

fn listen(stage: &Stage) -> std::net::TcpStream {
    let agent = stage.agent();
    let head = agent.absolute("GET", &format!("http://{HOST}/mcp"), "accept: text/event-stream\r\n");
    let mut socket = agent.socket();
    socket.write_all(head.as_bytes()).expect("the proxy reads");
    socket
}

#[test]
fn an_open_stream_follows_the_routes_as_they_are_now() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let (address, says) = pausing(head);
    let stage = stage("      tools: {}\n", address).start();
    let mut socket = listen(&stage);
    let list = |cursor: &str| {
        let tools = r#"{"name":"read"},{"name":"late"}"#;
        format!("data: {{\"id\":1,\"result\":{{\"tools\":[{tools}],\"nextCursor\":\"{cursor}\"}}}}\n\n")
    };
    let mut came = String::new();
    says.send(list("first")).expect("the server runs");
    until(&mut socket, &mut came, "\"first\"}}\n\n");
    assert!(came.contains("late"), "{came}");
    let narrowed = super::route("      hide: [late]\n");
    stage.world.configure("bottles/ci/routes.yaml", &narrowed);
    stage.event("configuration_reloaded");
    came.clear();
    says.send(list("second")).expect("the server runs");
    until(&mut socket, &mut came, "\"second\"}}\n\n");
    assert!(came.contains("read") && !came.contains("late"), "{came}");
}

#[test]
fn what_is_no_mcp_over_http_does_not_pass_beside_it() {
    let upstream = server();
    let stage = stage(RULES, upstream.address).start();
    let agent = stage.agent();
    let offer = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer =
        agent.plain("GET", &format!("http://{HOST}/mcp"), offer).refused(426, "protocol_not_allowed");
    assert_eq!(answer.json()["jsonrpc"], "2.0");
    assert_eq!(upstream.seen(), [""; 0]);
    agent.plain("DELETE", &format!("http://{HOST}/mcp"), "mcp-session-id: 1\r\n").passed();
    assert_eq!(upstream.seen().len(), 1);
    // Of a host that is stopped, too, clients hear in words that they read.
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let refusal = raw::wait_until(Duration::from_secs(5), || {
        let answer = post(&agent, &call(json!(1), "read", json!({})));
        (answer.status != 200).then_some(answer)
    });
    let told = refusal.expect("it is stopped").refused(403, "bottle_cut_off").json();
    assert_eq!((&told["jsonrpc"], &told["error"]["code"]), (&json!("2.0"), &json!(-32004)));
}

#[test]
fn a_model_is_not_called_on_a_route_for_mcp() {
    let routes = "routes:\n  - host: api.anthropic.com\n    mcp: {}\n";
    let stage = raw::routes(routes).simulates("api.anthropic.com:443").start();
    let body = json!({"model": "sim-10-10", "max_tokens": 5, "messages": []}).to_string();
    stage.agent().post("api.anthropic.com", "/v1/messages", &body).refused(403, "request_not_matched");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn what_dlp_finds_is_refused_as_a_call_or_redacted_before_it_is_judged() {
    let upstream = server();
    let with = |action: &str| {
        let rules = "      tools: {read: {action: deny, conditions: [{path: args.key, op: contains, value: ghp_}]}}\n";
        let routes = format!("{}    outbound_on_match: {action}\n", super::route(rules));
        raw::routes(&routes).connect_to(&format!("{HOST}:80"), upstream.address).start()
    };
    let body = call(json!("x"), "read", json!({"key": TOKEN}));
    let stage = with("block");
    let answer = post(&stage.agent(), &body).refused(200, "dlp_blocked");
    assert_eq!(denied(&answer, &json!("x"))["code"], -32004);
    assert!(!answer.text().contains(TOKEN) && !stage.log().contains(TOKEN));
    assert_eq!(upstream.seen(), [""; 0]);
    let stage = with("redact");
    post(&stage.agent(), &body).passed();
    let seen = upstream.seen();
    assert!(seen.len() == 1 && !seen[0].contains(TOKEN) && seen[0].contains("\"read\""), "{seen:?}");
}

#[test]
fn an_approval_counts_for_the_rules_that_it_was_asked_under() {
    let upstream = server();
    let rule = "      tools: {pay: {action: require_approval}}\n";
    let stage = stage(rule, upstream.address).start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    let pay = || post(&agent, &call(json!(1), "pay", json!({"amount": 5})));
    let asks = || {
        let answer = pay().refused(200, "approval_required");
        assert_eq!(denied(&answer, &json!(1))["code"], -32003);
        answer.header("x-hudson-approval-id").expect("an id").parse::<ApprovalId>().expect("it is one")
    };
    let reload = |routes: &str| {
        let before = stage.events("configuration_reloaded").len();
        stage.world.configure("bottles/ci/routes.yaml", routes);
        let done = || (stage.events("configuration_reloaded").len() > before).then_some(());
        raw::wait_until(Duration::from_secs(5), done).expect("it is loaded anew");
    };
    // Where a rule stands in its file is nothing of it.
    let first = asks();
    desk.approve(&first);
    reload(&format!("# A comment.\n\n{}", super::route(rule)));
    pay().passed();
    let second = asks();
    assert_ne!(second, first, "once");
    desk.approve(&second);
    reload(&super::route(&rule.replace("approval}", "approval, on_deny: Ask first.}")));
    let third = asks();
    assert_ne!(third, second);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn explain_says_what_of_a_server_may_be_used() {
    let rules = "      default: deny\n      hide: [x*]\n      tools: {gone: {action: deny}, pay: {action: require_approval}, x1: {action: allow}}\n";
    let stage = stage(rules, SocketAddr::from(([127, 0, 0, 1], 9))).start();
    let url = format!("http://{HOST}/mcp");
    let explain =
        |words: &[&str]| stage.hudson(&[&["explain", "POST", &url, "--bottle", "ci"], words].concat());
    let told = explain(&[]);
    told.exited(0).shows("every body is read as MCP");
    told.shows("gone is denied, pay as its rules say, x1 cannot be called; no other tool can be called");
    let offer = ["--header", "upgrade: websocket", "--header", "connection: upgrade"];
    explain(&offer).exited(1).shows("protocol_not_allowed");
}
