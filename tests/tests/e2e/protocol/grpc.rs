//! gRPC with its own client and server (grpcio) on either side, configured by nothing but a bottle's environment.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use hudson_tests::process::{Background, Outcome};
use hudson_tests::simulator::Authority;
use hudson_tests::{Clients, World, clients};
use serde_json::{Value, json};

use super::{HOST, ROUTES};
use crate::raw::wait_until;

/// A gRPC server behind Hudson.
struct Calls {
    world: World,
    port: u16,
    _server: Background,
}

impl Calls {
    fn start() -> Self {
        let world = World::new();
        let authority = Authority::generate().expect("a CA can be made");
        let (certificate, key) = authority.leaf_pem(HOST).expect("a leaf can be made");
        let file = |name: &str| world.scratch().join(name);
        for (name, text) in
            [("grpc-ca.pem", authority.ca_pem()), ("grpc.pem", &certificate), ("grpc.key", &key)]
        {
            std::fs::write(file(name), text).expect("the scratch directory takes files");
        }
        let [certificate, key] = ["grpc.pem", "grpc.key"].map(|name| file(name).display().to_string());
        let invocation = Clients::installed().python("grpc_calls.py", &["serve", &certificate, &key]);
        let (program, arguments) = invocation.words().split_first().expect("a client has a program");
        let said = File::create(file("grpc.out")).expect("the scratch directory takes files");
        let mut command = clients::clean(program);
        command.args(arguments).stdin(Stdio::null()).stdout(said);
        let server = Background::start(&mut command);
        let port = wait_until(Duration::from_secs(20), || {
            std::fs::read_to_string(file("grpc.out")).ok()?.lines().next()?.parse().ok()
        });
        Self { port: port.expect("the server tells its port"), world, _server: server }
    }

    /// A client in a bottle.
    fn make(&self, mode: &str, target: &str) -> Outcome {
        let ca_file = self.world.scratch().join("grpc-ca.pem").display().to_string();
        let client = Clients::installed().python("grpc_calls.py", &[mode, target]);
        let connect_to = format!("{HOST}:443:127.0.0.1:{}", self.port);
        let launch = self.world.launch().routes(ROUTES).option("--connect-to", &connect_to);
        launch.option("--upstream-ca", &ca_file).run(&client)
    }

    /// What a client tells of its calls to the server.
    #[track_caller]
    fn told(&self, mode: &str) -> Value {
        let outcome = self.make(mode, HOST);
        serde_json::from_slice(&outcome.exited(0).stdout).expect("the client tells JSON")
    }
}

#[test]
fn every_kind_of_call_passes_with_its_metadata() {
    let expected = json!({
        "unary": "echo hello",
        "initial": "1",
        "trailing": ["42", [0, 255]],
        "large": 3_000_005,
        "down": ["n 0", "n 1", "n 2"],
        "up": "a, b, c",
        "both": ["echo 0", "echo 1", "echo 2", "echo 3"],
    });
    assert_eq!(Calls::start().told("calls"), expected);
}

#[test]
fn an_error_that_is_all_trailers_passes() {
    let told = Calls::start().told("error");
    assert_eq!(told, json!({"code": "NOT_FOUND", "details": "no such thing: 100 %"}));
}

#[test]
fn a_deadline_and_a_cancellation_reach_the_server() {
    for (mode, code) in [("deadline", "DEADLINE_EXCEEDED"), ("cancel", "CANCELLED")] {
        let told = Calls::start().told(mode);
        assert_eq!(told, json!({"begun": "begun", "code": code, "told": "yes"}));
    }
}

#[test]
fn a_refusal_is_raised_at_once_and_not_retried() {
    let calls = Calls::start();
    let outcome = calls.make("unary", "unlisted.example.com");
    let told: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("the client tells JSON");
    assert_eq!(told["code"], "PERMISSION_DENIED", "{outcome}");
    let refused: Vec<_> = calls.world.refusals().into_iter().map(|refusal| refusal.code).collect();
    assert_eq!(refused, ["host_not_allowed"], "{outcome}");
    assert!(outcome.elapsed < Duration::from_secs(10), "{outcome}");
}
