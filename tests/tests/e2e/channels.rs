//! People are asked where they read, and answer there: against servers that follow the services' documented APIs on
//! loopback, by a real `hudson up` and what is in its ledger.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

mod discord;
mod ledger;
mod ntfy;
mod sending;
mod slack;
mod telegram;
mod telegram_server;
mod webhook;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::raw::{self, Answer, Stage};

/// Long past what any of this takes.
const SOON: Duration = Duration::from_secs(10);
/// In which something that must not come would have come.
const A_WHILE: Duration = Duration::from_millis(1200);
const ROUTES: &str = "routes:\n  - {host: api.anthropic.com}\n";

/// A stage whose settings are these, with secrets in its environment.
fn stage(settings: &str, secrets: &[(&str, &str)]) -> Stage {
    let setting = raw::routes(ROUTES).settings(settings);
    secrets.iter().fold(setting, |setting, (name, value)| setting.env(name, value)).start()
}

/// Where answers are listened for.
#[track_caller]
fn callbacks(stage: &Stage) -> SocketAddr {
    let ready = std::fs::read(stage.world.scratch().join("ready.json")).expect("the ready file is there");
    let ready: Value = serde_json::from_slice(&ready).expect("it is JSON");
    ready["callbacks"].as_str().and_then(|address| address.parse().ok()).expect("callbacks are listened for")
}

/// A request, by hand.
#[allow(clippy::disallowed_methods, reason = "it dials Hudson's own listener, as a service would")]
fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: hudson.example.com\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    raw::ask(&mut stream, &request)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(now.as_secs()).expect("not that far in the future")
}

/// Whatever any service signs with: HMAC-SHA-256, in hex.
fn hmac(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The head and the body of a request that an upstream has seen.
fn parts(request: &str) -> (&str, Value) {
    let (head, body) = request.split_once("\r\n\r\n").expect("a request has a head");
    (head, serde_json::from_str(body).expect("the body is JSON"))
}
