//! The confirmation service and the admin API: what the servers that went before could do, what they did wrong, and that
//! no bottle decides anything.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

mod admin;
mod ancestors;
mod defects;
mod holders;
mod keeping;
mod reach;
mod reviewing;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::raw::answer::read_answer;
use crate::raw::{self, Agent, Answer, Setting, Stage};

const ROUTES: &str = "routes:\n  - host: files.example.com\n";
const TOKEN: &str = "the-token-of-ops-0123456789";
const SOON: Duration = Duration::from_secs(5);

/// A running `hudson up` with both doors, and a bottle.
struct Scene {
    stage: Stage,
    agent: Agent,
    confirm: SocketAddr,
    admin: SocketAddr,
}

/// What is under `approvals:` in the settings beside the tokens.
fn setting(approvals: &str) -> Setting {
    let settings = format!(
        "control: {{confirm: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n\
         approvals: {{approvers: {{tokens: {{ops: {{env: OPS_TOKEN}}}}}}, {approvals}}}\n"
    );
    raw::routes(ROUTES).settings(&settings).env("OPS_TOKEN", TOKEN)
}

/// People are asked as often as a test likes.
const OFTEN: &str = "rate_limit: 10000/hour, max_pending_per_bottle: 10000, fatigue: off";

fn scene(approvals: &str) -> Scene {
    Scene::of(setting(approvals))
}

impl Scene {
    fn of(setting: Setting) -> Self {
        let stage = setting.start();
        let ready =
            std::fs::read(stage.world.scratch().join("ready.json")).expect("the ready file is readable");
        let ready: Value = serde_json::from_slice(&ready).expect("the ready file is JSON");
        let at = |door: &str| ready[door].as_str().and_then(|at| at.parse().ok()).expect("it listens there");
        let (confirm, admin) = (at("confirm"), at("admin"));
        let agent = stage.agent();
        Self { stage, agent, confirm, admin }
    }

    /// A request of the bottle.
    fn by_agent(&self, method: &str, path: &str, body: &str) -> Answer {
        self.by(&self.agent, method, path, body)
    }

    /// A request of this bottle.
    fn by(&self, agent: &Agent, method: &str, path: &str, body: &str) -> Answer {
        call(self.confirm, method, path, &basic(agent), body)
    }

    /// A request of an operator.
    fn by_operator(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.confirm, method, path, &bearer(TOKEN), body)
    }

    /// A request of an operator at the admin API.
    fn by_admin(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.admin, method, path, &bearer(TOKEN), body)
    }

    /// Asks, and is told to wait for people; the id.
    #[track_caller]
    fn ask(&self, action: &str, description: &str) -> String {
        let asked = self.by_agent("POST", "/confirm", &question(action, description));
        assert_eq!(asked.status, 202, "{asked}");
        asked.json()["id"].as_str().expect("an id is told").to_owned()
    }

    /// What is told of an approval to the operator, who uses nothing up by that.
    #[track_caller]
    fn record(&self, id: &str) -> Value {
        let found = self.by_operator("GET", &format!("/confirm/{id}"), "");
        assert_eq!(found.status, 200, "{found}");
        found.json()
    }

    /// Who is named in the audit's rows of this kind.
    fn audited(&self, kind: &str) -> Vec<String> {
        let told = self.stage.hudson(&["audit", "export"]);
        let rows = told.text();
        let rows = rows.lines().filter_map(|row| serde_json::from_str::<Value>(row).ok());
        rows.filter(|row| row["kind"] == kind)
            .map(|row| row["actor"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    #[track_caller]
    fn approve(&self, id: &str) -> Answer {
        self.by_operator("POST", &format!("/confirm/{id}/approve"), "{}")
    }
}

fn question(action: &str, description: &str) -> String {
    json!({"action": action, "description": description}).to_string()
}

fn basic(agent: &Agent) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(&agent.credentials))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A request to a door, on a connection of its own.
#[track_caller]
fn call(door: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let kind = if method == "POST" { "Content-Type: application/json\r\n" } else { "" };
    raw_call(door, method, path, &format!("Host: {door}\r\n{kind}{headers}"), body)
}

/// The same with all headers but the length as they are given.
#[track_caller]
fn raw_call(door: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut socket = open(door, method, path, headers, body);
    read_answer(&mut socket, method == "HEAD").unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// Sends a request whose answer is to come.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "the test is the client, and dials the service")]
fn open(door: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(door).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes options");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("it reads");
    // Who is refused by the head need not have read the rest.
    let _ = socket.write_all(body.as_bytes());
    socket
}

/// Waits until an approval has this status.
#[track_caller]
fn becomes(scene: &Scene, id: &str, state: &str) -> Value {
    let found = raw::wait_until(Duration::from_secs(10), || {
        let record = scene.record(id);
        (record["state"] == state).then_some(record)
    });
    found.unwrap_or_else(|| panic!("{id} does not become {state}: {}", scene.record(id)))
}
