//! Work that would pass the meter by.

use std::io::Write as _;

use crate::raw::{self, Answer, Stage};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
  - {host: api.openai.com, auth_scheme: Bearer, token_env: THE_KEY}
";

const BUDGETS: &str = "budget: {claude: 100000, codex: 100000}\n";

const MESSAGES: &str = "/v1/messages";

fn metered(settings: &str) -> Stage {
    raw::routes(ROUTES).settings(settings).env("THE_KEY", "tests-only-9fK2mP7qR4tW").start()
}

fn budgeted() -> Stage {
    metered(BUDGETS)
}

fn anthropic(stage: &Stage, path: &str, body: &str) -> Answer {
    stage.agent().post("api.anthropic.com", path, body)
}

fn openai(stage: &Stage, path: &str, body: &str) -> Answer {
    stage.agent().post("api.openai.com", path, body)
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let stage = budgeted();
    for body in [
        r#"{"model":"m","max_tokens":1,"max_tokens":9000,"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"max\u005ftokens":9000,"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","role":"user","content":"x"}]}"#,
    ] {
        anthropic(&stage, MESSAGES, body).refused(400, "malformed_request");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let stage = budgeted();
    for body in ["", "[]", "max_tokens=1", r#"{"model":"m""#, "{\"model\":\"m\"}{}", "\u{feff}{}"] {
        anthropic(&stage, MESSAGES, body).refused(400, "malformed_request");
        openai(&stage, "/v1/chat/completions", body).refused(400, "malformed_request");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_endpoint_that_cannot_be_metered_is_refused() {
    let stage = budgeted();
    for path in ["/v1/complete", "/v2/messages", "/V1/messages", "/v1/new-thing"] {
        anthropic(&stage, path, "{}").refused(403, "unmetered_endpoint");
    }
    // What mints a provider's secret would hand the agent a credential of its own.
    for path in [
        "/v1/fine_tuning/jobs",
        "/v1/realtime/calls",
        "/v1/realtime/sessions",
        "/v1/realtime/client_secrets",
        "/v1/threads/t/runs",
    ] {
        openai(&stage, path, "{}").refused(403, "unmetered_endpoint");
    }
    // A batch is metered where no hard budget is; under one, it would go on after a cutoff.
    openai(&stage, "/v1/batches", "{}").refused(400, "unmetered_endpoint");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_metered_path_in_disguise_is_no_unmetered_one() {
    let routes = "routes:\n  - {host: api.anthropic.com, unmetered: allow}\n";
    let stage = raw::routes(routes).settings(BUDGETS).start();
    anthropic(&stage, "/v1%2Fmessages", "{}").refused(403, "unmetered_endpoint");
    anthropic(&stage, "/v1/%6dessages", "[]").refused(400, "malformed_request");
    anthropic(&stage, "/x/../v1/messages", "[]").refused(400, "malformed_request");
    anthropic(&stage, "/v1/messages/", "[]").refused(400, "malformed_request");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn server_side_tools_are_refused_under_a_hard_budget() {
    let stage = budgeted();
    for tool in ["web_search_20250305", "code_execution_20250522", "a_tool_of_tomorrow"] {
        let tools = format!(r#"[{{"type":"{tool}","name":"t"}}]"#);
        let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[],"tools":{tools}}}"#);
        anthropic(&stage, MESSAGES, &body).refused(403, "unmetered_endpoint");
    }
    let search = r#"{"model":"m","max_output_tokens":16,"input":"x","tools":[{"type":"web_search"}]}"#;
    openai(&stage, "/v1/responses", search).refused(400, "unmetered_endpoint");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn background_work_is_refused_under_a_hard_budget() {
    let stage = budgeted();
    let body = r#"{"model":"m","max_output_tokens":16,"input":"x","background":true}"#;
    openai(&stage, "/v1/responses", body).refused(400, "unmetered_endpoint");
    let batch = r#"{"requests":[{"custom_id":"a","params":{"model":"m","max_tokens":9,"messages":[]}}]}"#;
    anthropic(&stage, "/v1/messages/batches", batch).refused(403, "unmetered_endpoint");
    let batch = r#"{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}"#;
    openai(&stage, "/v1/batches", batch).refused(400, "unmetered_endpoint");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn tools_of_the_client_are_not_refused() {
    let stage = budgeted();
    let tools = r#"[{"name":"t","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"bash"}]"#;
    let body = format!(r#"{{"model":"sim-20-5","max_tokens":300,"messages":[],"tools":{tools}}}"#);
    anthropic(&stage, MESSAGES, &body).passed();
}

fn encoded(stage: &Stage, coding: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\ncontent-encoding: {coding}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut tls = stage.agent().tls("api.anthropic.com");
    tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(body)).expect("the proxy reads");
    crate::raw::answer::read_answer(&mut tls, false).expect("it is answered")
}

#[test]
fn a_compressed_body_is_looked_into() {
    let stage = budgeted();
    let gzip = |body: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body.as_bytes()).expect("a vector takes bytes");
        encoder.finish().expect("a vector takes bytes")
    };
    let twice = gzip(r#"{"model":"m","max_tokens":1,"max_tokens":9,"messages":[]}"#);
    encoded(&stage, "gzip", &twice).refused(400, "malformed_request");
    assert_eq!(stage.arrived(), 0);
    let good = gzip(r#"{"model":"sim-20-5","max_tokens":300,"messages":[]}"#);
    encoded(&stage, "gzip", &good).passed();
}

#[test]
fn a_body_in_an_unreadable_coding_is_415() {
    let stage = budgeted();
    encoded(&stage, "x-odd", b"{}").refused(415, "body_unreadable");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_body_over_the_limit_is_413() {
    let limit = "proxy: {max_body_bytes: 1000}\n";
    let stage = metered(&format!("{BUDGETS}{limit}"));
    let long = format!(r#"{{"model":"m","max_tokens":9,"messages":[],"x":"{}"}}"#, "y".repeat(2000));
    anthropic(&stage, MESSAGES, &long).refused(413, "body_too_large");
    // Neither does a bomb get larger than that.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 500_000]).expect("a vector takes bytes");
    let bomb = encoder.finish().expect("a vector takes bytes");
    assert!(bomb.len() < 1000, "the bomb is no bomb");
    encoded(&stage, "gzip", &bomb).refused(413, "body_too_large");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn usage_that_was_asked_not_to_be_told_is_told_and_counted() {
    let stage = metered("");
    let body =
        r#"{"model":"sim-80-60","stream":true,"stream_options":{"include_usage":false},"messages":[]}"#;
    let answer = openai(&stage, "/v1/chat/completions", body).passed();
    assert!(!answer.text().contains("\"usage\":{"), "the chunk came through: {answer}");
    stage.world.ledger_equals_provider();
}
