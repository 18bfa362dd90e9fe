//! Every kind of credential from every source: put on as the last thing, in place of the agent's own, or not at all.

use super::HOST;
use crate::raw::{self, Answer, Stage};

const SECRET: &str = "tests-only-9fK2mP7qR4tW+/=";

fn route(credential: &str) -> String {
    format!("routes:\n  - host: files.example.com\n    credentials:\n      - {credential}\n")
}

/// Puts `credential` on a request of an agent that tries with its own; the request as it arrived.
fn arrives(credential: &str) -> hudson_tests::simulator::Entry {
    let stage = raw::stage().env("THE_KEY", SECRET).start();
    let file = stage.world.scratch().join("key");
    std::fs::write(&file, format!("{SECRET}\n")).expect("the scratch directory takes files");
    let named = route(&credential.replace("KEY_FILE", &file.display().to_string()));
    stage.world.configure("bottles/named/routes.yaml", &named);
    let agent = stage.agent_in("named", &[]);
    let own = "Authorization: Bearer own\r\nX-Key: own\r\nX-Key: own-too\r\nX-Api-Key: own\r\n";
    agent.get_with(HOST, "/hello.txt?key=own&a=b&%6bey=own", own).passed();
    stage.world.simulator.journal().entries().remove(0)
}

#[test]
fn a_header_from_the_environment() {
    let seen = arrives("{header: x-key, from: {env: THE_KEY}}");
    assert_eq!(seen.header("x-key").as_deref(), Some(SECRET));
    assert_eq!((seen.header("authorization"), seen.header("x-api-key")), (None, None));
}

#[test]
fn a_header_with_a_prefix_from_a_file() {
    let seen = arrives("{header: authorization, prefix: \"Token \", from: {file: KEY_FILE}}");
    assert!(seen.carries("authorization", &format!("Token {SECRET}")), "{:?}", seen.headers);
}

#[test]
fn a_header_from_a_command() {
    let seen = arrives("{header: x-key, from: {command: [cat, KEY_FILE]}}");
    assert_eq!(seen.header("x-key").as_deref(), Some(SECRET));
}

#[test]
fn a_query_parameter_from_each_source() {
    for from in ["{env: THE_KEY}", "{file: KEY_FILE}", "{command: [cat, KEY_FILE]}"] {
        let seen = arrives(&format!("{{query: key, from: {from}}}"));
        let encoded = "tests%2Donly%2D9fK2mP7qR4tW%2B%2F%3D";
        let expected = hudson_tests::simulator::fingerprint(encoded);
        assert_eq!(seen.path, format!("/hello.txt?a=b&key={expected}"), "{from}");
    }
}

#[test]
fn basic_authentication_from_each_source() {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ci:{SECRET}"));
    for from in ["{env: THE_KEY}", "{file: KEY_FILE}", "{command: [cat, KEY_FILE]}"] {
        let seen = arrives(&format!("{{basic: {{username: ci, from: {from}}}}}"));
        assert!(seen.carries("authorization", &format!("Basic {pair}")), "{from}: {:?}", seen.headers);
    }
}

fn refused(credential: &str) -> (Stage, Answer) {
    let stage = raw::routes(&route(credential)).env("EMPTY", "").env("SPLIT", "a\nb").start();
    let answer = stage.agent().get(HOST, "/hello.txt");
    (stage, answer)
}

#[test]
fn a_credential_that_cannot_be_read_is_never_left_out() {
    for from in [
        "{env: NOT_SET}",
        "{env: EMPTY}",
        "{env: SPLIT}",
        "{file: /nowhere/key}",
        "{file: /dev/null}",
        "{command: [\"false\"]}",
        "{command: [\"true\"]}",
        "{command: [no-such-program-anywhere]}",
    ] {
        let (stage, answer) = refused(&format!("{{header: x-key, from: {from}}}"));
        answer.refused(403, "credential_unavailable");
        assert_eq!(stage.arrived(), 0, "{from}");
    }
}

#[test]
fn a_commands_own_words_are_told_to_nobody() {
    let (stage, answer) = refused(
        "{header: x-key, from: {command: [sh, -c, \"echo half-a-secret; echo half-a-secret >&2; exit 1\"]}}",
    );
    let answer = answer.refused(403, "credential_unavailable");
    stage.event("refusal");
    assert!(!answer.text().contains("half-a-secret") && !stage.log().contains("half-a-secret"), "{answer}");
}

#[test]
fn trace_carries_no_credential() {
    let stage = raw::routes(&route("{header: x-key, from: {env: THE_KEY}}")).env("THE_KEY", SECRET).start();
    let answer = stage.agent().send(HOST, "TRACE /echo HTTP/1.1\r\nHost: files.example.com\r\n\r\n");
    answer.refused(403, "credential_unavailable");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_file_is_read_anew_for_each_request() {
    let stage = raw::stage().start();
    let file = stage.world.scratch().join("key");
    let from = format!("{{header: x-key, from: {{file: {}}}}}", file.display());
    stage.world.configure("bottles/ci/routes.yaml", &route(&from));
    let agent = stage.agent();
    for secret in ["the-first-of-two", "the-second-of-two"] {
        std::fs::write(&file, secret).expect("the scratch directory takes files");
        agent.get(HOST, "/hello.txt").passed();
    }
    let seen = stage.world.simulator.journal().entries();
    let keys: Vec<_> = seen.iter().filter_map(|entry| entry.header("x-key")).collect();
    assert_eq!(keys, ["the-first-of-two", "the-second-of-two"]);
}

#[test]
fn a_wildcard_gets_no_credential_unasked() {
    let routes = "routes:\n  - host: \"*.example.com\"\n    auth_scheme: Bearer\n    token_env: THE_KEY\n";
    let stage = raw::routes(routes).start();
    let outcome = stage.hudson(&["check"]);
    assert!(outcome.exited(2).stderr.contains("wildcard_credentials"), "{outcome}");
}
