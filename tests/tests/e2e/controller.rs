//! The controller: its socket and its metrics, who may reach them, and who takes over when it dies.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

mod api;
mod metrics;
mod peers;
mod takeover;
mod units;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hudson_tests::process::{self, Background, Outcome};
use hudson_tests::{World, clients, hudson};
use serde_json::Value;

use crate::raw::{self, Agent, Answer};

const KEY: &str = "tests-only-9fK2mP7qR4tW";
const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
  - {host: files.example.com}
";
/// Long past what any of this takes.
const SOON: Duration = Duration::from_secs(10);

fn message(tokens: &str) -> String {
    format!(r#"{{"model":"sim-{tokens}","max_tokens":400,"messages":[{{"role":"user","content":"x"}}]}}"#)
}

fn connect(home: &Path) -> UnixStream {
    let stream = UnixStream::connect(home.join("run/hudson.sock")).expect("the control socket is there");
    stream.set_read_timeout(Some(SOON)).expect("a socket takes a time-out");
    stream
}

/// Asks the control socket of a home.
pub(crate) fn call(home: &Path, method: &str, path: &str, body: &str) -> Answer {
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: hudson\r\nContent-Length: {length}\r\n\r\n{body}");
    raw::ask(&mut connect(home), &request)
}

fn get(home: &Path, path: &str) -> Value {
    let answer = call(home, "GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// Ends the test unless it is refused so, as the API says it.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], code, "{error}");
    error["message"].as_str().expect("it says why").to_owned()
}

/// One process of Hudson in a world, which serves.
struct Served {
    process: Background,
    ready: PathBuf,
}

impl Served {
    /// Starts it, without waiting for it.
    fn begin(world: &World, name: &str, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let ready = world.scratch().join(format!("{name}.json"));
        std::fs::remove_file(&ready).ok();
        let log = std::fs::File::create(world.scratch().join(format!("{name}.log"))).expect("a log");
        let mut command = program(world);
        command.envs(environment.iter().copied()).args(words).args(hudson::redirection(&world.simulator));
        command.arg("--home").arg(world.home()).arg("--ready-file").arg(&ready);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { process: Background::start(&mut command), ready }
    }

    fn start(world: &World, name: &str, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let served = Self::begin(world, name, words, environment);
        let log = || std::fs::read_to_string(world.scratch().join(format!("{name}.log"))).unwrap_or_default();
        served.told().unwrap_or_else(|| panic!("{words:?} is not ready:\n{}", log()));
        served
    }

    fn is_ready(&self) -> bool {
        self.ready.exists()
    }

    /// What it says once it is ready.
    fn told(&self) -> Option<Value> {
        raw::wait_until(SOON, || self.is_ready().then_some(()))?;
        serde_json::from_slice(&std::fs::read(&self.ready).ok()?).ok()
    }

    fn metrics(&self) -> SocketAddr {
        let told = self.told().expect("it is ready");
        told["metrics"].as_str().and_then(|address| address.parse().ok()).expect("it says where metrics are")
    }
}

fn program(world: &World) -> std::process::Command {
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", world.operator_home()).current_dir(world.work()).env("THE_KEY", KEY);
    command
}

/// `hudson` with this home and these words.
fn hudson_in(world: &World, words: &[&str]) -> Outcome {
    process::run(program(world).arg("--home").arg(world.home()).args(words), SOON)
}

/// A `hudson proxy` with one bottle, `ci`, and an agent in it.
fn sidecar(world: &World, more: &[&str]) -> (Served, Agent) {
    world.configure("bottles/ci/routes.yaml", ROUTES);
    let routes = world.home().join("bottles/ci/routes.yaml").display().to_string();
    let url_file = world.scratch().join("url");
    let environment = [
        ("EGRESS_ROUTES", routes.as_str()),
        ("EGRESS_BOTTLE", "ci"),
        ("EGRESS_PROXY_URL_FILE", url_file.to_str().expect("a path of text")),
    ];
    let served =
        Served::start(world, "proxy", &[&["proxy", "--listen", "127.0.0.1:0"], more].concat(), &environment);
    let told = served.told().expect("it is ready");
    let address = told["addresses"][0].as_str().and_then(|address| address.parse().ok()).expect("an address");
    let url = std::fs::read_to_string(&url_file).expect("the proxy URL is written");
    let told = serde_json::json!({"proxy_url": url.trim()});
    (served, Agent::new(address, &told, &world.home().join("ca/ca.pem")))
}

/// Reads until something is there.
fn read_until(stream: &mut UnixStream, mut enough: impl FnMut(&str) -> bool) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if enough(&text) {
            return text;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => panic!("it ended or was silent: {text}"),
            Ok(length) => all.extend_from_slice(&piece[..length]),
        }
    }
}

fn write(stream: &mut UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("the socket takes it");
}
