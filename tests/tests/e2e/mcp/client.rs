//! The SDK's client against the SDK's server: streamable HTTP that answers in events and in JSON, as the newest protocol
//! begins and as the older ones do, and the transport before it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use hudson_schema::ledger::{ApprovalId, ApprovalKind, ApprovalStatus};
use hudson_tests::process::{self, Background};
use hudson_tests::{Clients, clients};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::HOST;
use crate::approvals::Desk;
use crate::raw::{self, Stage};

/// Transports of the server, and the ways in which the client speaks each.
const WAYS: [(&str, &str); 5] =
    [("events", "auto"), ("events", "legacy"), ("json", "auto"), ("json", "legacy"), ("sse", "sse")];

/// Where the server writes what has run.
const RAN: &str = "ran";

const RULES: &str = "      hide: [admin_*]
      tools:
        delete_shop: {action: deny, on_deny: Shops stay.}
        pay:
          rules:
            - {name: ask, action: require_approval, classify: transfer_funds, conditions: [{path: args.amount, op: gt, value: 2}]}
";

/// A server, Hudson in front of it, and somebody who decides.
struct Shop {
    way: (&'static str, &'static str),
    stage: Stage,
    desk: Desk,
    /// Ends before what it writes to is gone.
    _server: Background,
    scratch: TempDir,
}

impl Shop {
    fn open(way: (&'static str, &'static str), rules: &str) -> Self {
        let scratch = tempfile::Builder::new().prefix("hudson-shop-").tempdir().expect("a scratch directory");
        let ready = scratch.path().join("port");
        let server = Clients::installed().python("mcp_server.py", &[way.0]);
        let (program, words) = server.words().split_first().expect("a program");
        let mut command = clients::clean(program);
        command.args(words).arg(&ready).arg(scratch.path().join(RAN));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Background::start(&mut command);
        let port = raw::wait_until(Duration::from_secs(30), || {
            std::fs::read_to_string(&ready).ok()?.parse::<u16>().ok()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("the server listens")));
        let stage = super::stage(rules, address).start();
        let desk = Desk::of(&stage);
        Self { way, stage, desk, _server: server, scratch }
    }

    /// What a client of its own gets for these steps.
    #[track_caller]
    fn client(&self, steps: &Value) -> Vec<Value> {
        let path = if self.way.0 == "sse" { "sse" } else { "mcp" };
        let url = format!("http://{HOST}/{path}");
        let client = Clients::installed().python("mcp_client.py", &[self.way.1, &url, &steps.to_string()]);
        let (program, words) = client.words().split_first().expect("a program");
        let mut command = clients::clean(program);
        command.args(words).envs(self.stage.environment("ci"));
        let outcome = process::run(&mut command, Duration::from_secs(60));
        let told = outcome.text();
        let answers: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let steps = steps.as_array().map_or(0, Vec::len);
        assert_eq!(answers.len(), steps, "{:?}: {outcome}\n{}", self.way, self.stage.log());
        answers
    }

    /// What a client gets for one call.
    #[track_caller]
    fn call(&self, tool: &str, arguments: Value) -> Value {
        self.client(&json!([[tool, arguments]])).remove(0)
    }

    /// The tools that have run.
    fn ran(&self) -> Vec<String> {
        let ran = std::fs::read_to_string(self.scratch.path().join(RAN)).unwrap_or_default();
        let lines = ran.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["tool"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// The approval that an answer asks for.
#[track_caller]
fn asked(answer: &Value) -> ApprovalId {
    let error = &answer["error"];
    assert_eq!(error["code"], -32003, "{answer}");
    assert_eq!(
        (&error["data"]["refusal"], &error["data"]["tool"]),
        (&json!("approval_required"), &json!("pay"))
    );
    let text = error["message"].as_str().expect("a message");
    assert!(text.starts_with("[APPROVAL REQUIRED] "), "{text}");
    let id = error["data"]["approval_id"].as_str().expect("an id");
    let told = error["data"]["human_instructions"].as_str().expect("instructions");
    assert!(told.contains(&format!("hudson approvals approve {id}")), "{told}");
    id.parse().expect("it is an id")
}

/// One test for each way.
macro_rules! in_every_way {
    ($($name:ident: $promise:ident)*) => {
        $(mod $name {
            #[test]
            fn over_events() {
                super::$promise(super::WAYS[0]);
            }

            #[test]
            fn over_events_after_a_handshake() {
                super::$promise(super::WAYS[1]);
            }

            #[test]
            fn over_json() {
                super::$promise(super::WAYS[2]);
            }

            #[test]
            fn over_json_after_a_handshake() {
                super::$promise(super::WAYS[3]);
            }

            #[test]
            fn over_the_older_transport() {
                super::$promise(super::WAYS[4]);
            }
        })*
    };
}

in_every_way! {
    a_client_sees_and_calls_what_it_may: sees_and_calls
    an_approved_call_passes_exactly_once: passes_once
    a_held_call_goes_on_when_it_is_approved: goes_on
}

fn sees_and_calls(way: (&'static str, &'static str)) {
    let shop = Shop::open(way, RULES);
    let steps = json!([
        "list",
        ["look", {"item": "tea"}],
        ["delete_shop", {}],
        ["admin_reset", {}],
        ["pay", {"amount": 2}],
        ["fail", {"why": "no"}],
        ["look", {"item": "cup"}],
    ]);
    let told = shop.client(&steps);
    assert_eq!(told[0]["tools"], json!(["fail", "look", "pay"]), "{way:?}");
    assert_eq!(told[1]["text"], "tea costs 5");
    for (place, tool, word) in [(2, "delete_shop", "Shops stay."), (3, "admin_reset", "hides this tool")] {
        let error = &told[place]["error"];
        assert_eq!(error["code"], -32004, "{way:?} {}", told[place]);
        assert_eq!(
            (&error["data"]["refusal"], &error["data"]["tool"]),
            (&json!("rule_denied"), &json!(tool))
        );
        let text = error["message"].as_str().expect("a message");
        assert!(text.starts_with("[POLICY DENIED] ") && text.contains(word), "{text}");
    }
    assert_eq!(told[4]["text"], "paid 2 to shop");
    assert_eq!(told[5]["is_error"], true);
    assert_eq!(told[6]["text"], "cup costs 5", "a refusal ends nothing but its call");
    assert_eq!(shop.ran(), ["look", "pay", "fail", "look"]);
    assert_eq!(shop.desk.all(), []);
}

fn passes_once(way: (&'static str, &'static str)) {
    let shop = Shop::open(way, RULES);
    let pay = || shop.call("pay", json!({"amount": 5}));
    let id = asked(&pay());
    let approval = shop.desk.only();
    assert_eq!((approval.kind, approval.action.as_str()), (ApprovalKind::Mcp, "transfer_funds"));
    assert!(
        approval.target.ends_with("#pay") && approval.details.to_string().contains("amount"),
        "{approval:#?}"
    );
    assert_eq!(asked(&pay()), id, "the same question is asked once");
    let other = asked(&shop.call("pay", json!({"amount": 6})));
    assert_ne!(other, id, "another amount is another question");
    assert_eq!(shop.ran(), [""; 0]);
    shop.desk.approve(&id);
    assert_eq!(pay()["text"], "paid 5 to shop", "{way:?}");
    assert_ne!(asked(&pay()), id, "once");
    assert_eq!(shop.ran(), ["pay"]);
    let used = shop.desk.becomes(&id, |approval| approval.execution.is_some());
    assert_eq!(used.status, ApprovalStatus::Consumed);
    shop.desk.deny(&other, "too much");
    let error = shop.call("pay", json!({"amount": 6}))["error"].clone();
    assert_eq!((&error["code"], &error["data"]["refusal"]), (&json!(-32003), &json!("approval_denied")));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("too much")), "{error}");
    assert_eq!(shop.ran(), ["pay"]);
}

fn goes_on(way: (&'static str, &'static str)) {
    let rules = "      tools: {pay: {action: require_approval, mode: hold}}\n";
    let shop = Shop::open(way, rules);
    let answer = std::thread::scope(|scope| {
        let held = scope.spawn(|| shop.call("pay", json!({"amount": 7, "to": "me"})));
        let pending = || shop.desk.all().into_iter().find(|one| one.status == ApprovalStatus::Pending);
        // The client has to start first.
        let approval = raw::wait_until(Duration::from_secs(30), pending).expect("it is asked");
        assert_eq!(shop.ran(), [""; 0]);
        shop.desk.approve(&approval.id);
        held.join().expect("the client ends")
    });
    assert_eq!(answer["text"], "paid 7 to me", "{way:?}: {answer}");
    assert_eq!(shop.ran(), ["pay"]);
}
