//! An upstream that says what it was sent must not hand the credential to the agent.

use std::io::Write as _;

use super::HOST;
use crate::raw::{self, Stage, Upstream};

const SECRET: &str = "tests-only-9fK2mP7qR4tW";

/// A plain upstream behind a route with a header credential.
fn behind(upstream: &Upstream, more: &str) -> Stage {
    let routes = format!(
        "routes:\n  - host: plain.example.com\n    scheme: http\n{more}    credentials:\n      \
         - {{header: x-key, from: {{env: THE_KEY}}}}\n"
    );
    let setting = raw::routes(&routes).env("THE_KEY", SECRET);
    setting.connect_to("plain.example.com:80", upstream.address).start()
}

fn chunked(headers: &str, pieces: &[&str], trailers: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n");
    let chunks: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
    format!("{head}{chunks}0\r\n{trailers}\r\n").into_bytes()
}

#[test]
fn an_echoed_header_comes_back_without_its_value() {
    let routes = "routes:\n  - host: files.example.com\n    auth_scheme: Bearer\n    token_env: THE_KEY\n";
    let stage = raw::routes(routes).env("THE_KEY", SECRET).start();
    let agent = stage.agent();
    let answers = [
        agent.get_with(HOST, "/echo", "Accept-Encoding: gzip, br\r\n"),
        agent.http2_one(HOST, raw::request("GET", "https://files.example.com/echo", "")),
    ];
    for answer in answers {
        let answer = answer.passed();
        assert_eq!(answer.echoed("authorization"), [format!("Bearer {}", "*".repeat(SECRET.len()))]);
    }
}

#[test]
fn an_echoed_query_and_basic_pair_come_back_without_their_values() {
    for credential in ["{query: key, from: {env: THE_KEY}}", "{basic: {username: ci, from: {env: THE_KEY}}}"]
    {
        let routes =
            format!("routes:\n  - host: files.example.com\n    credentials:\n      - {credential}\n");
        let stage = raw::routes(&routes).env("THE_KEY", SECRET).start();
        let answer = stage.agent().get(HOST, "/echo").passed();
        assert!(answer.text().contains("****"), "nothing was put on: {answer}");
        for form in [SECRET, "Y2k6dGVzdHMtb25seS05Zksy", "tests%2Donly"] {
            assert!(!answer.text().contains(form), "{answer}");
        }
    }
}

#[test]
fn a_value_in_two_chunks_is_found() {
    let upstream = Upstream::start(|_| chunked("", &["you sent tests-only-9f", "K2mP7qR4tW, did you"], ""));
    let stage = behind(&upstream, "");
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "").passed();
    assert_eq!(answer.text(), format!("you sent {}, did you", "*".repeat(SECRET.len())));
}

#[test]
fn a_value_in_a_response_header_is_taken_out() {
    let upstream = Upstream::start(|_| {
        let headers = format!("location: https://evil.test/?k={SECRET}\r\nset-cookie: a={SECRET}\r\n");
        raw::upstream::ok(&headers, b"there")
    });
    let stage = behind(&upstream, "");
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "");
    assert!(!answer.to_string().contains(SECRET), "{answer}");
}

#[test]
fn a_compressed_echo_is_looked_into() {
    let upstream = Upstream::start(|request| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(request.as_bytes()).expect("a vector takes bytes");
        raw::upstream::ok("content-encoding: gzip\r\n", &encoder.finish().expect("a vector takes bytes"))
    });
    let stage = behind(&upstream, "");
    let answer =
        stage.agent().plain("GET", "http://plain.example.com/", "accept-encoding: gzip\r\n").passed();
    assert_eq!(answer.header("content-encoding"), None);
    assert!(answer.text().contains("x-key: ****") && !answer.text().contains(SECRET), "{answer}");
}

#[test]
fn an_echo_that_cannot_be_looked_into_does_not_pass() {
    let upstream =
        Upstream::start(|request| raw::upstream::ok("content-encoding: x-odd\r\n", request.as_bytes()));
    let stage = behind(&upstream, "");
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "");
    assert!(!answer.text().contains(SECRET), "{answer}");
    assert_ne!(answer.status, 200);
}

#[test]
fn trailers_neither_carry_the_value_nor_overtake_the_body() {
    // The body ends with the beginning of the secret, which is held back until more is known.
    let trailers = format!("x-sum: {SECRET}\r\n");
    let upstream =
        Upstream::start(move |_| chunked("trailer: x-sum\r\n", &["it begins with tests-only-"], &trailers));
    let stage = behind(&upstream, "");
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "te: trailers\r\n").passed();
    assert_eq!(answer.text(), "it begins with tests-only-");
    assert!(!answer.to_string().contains(SECRET), "{answer}");
}

#[test]
fn a_metered_answer_is_looked_into_too() {
    let upstream = Upstream::start(|request| {
        let key = request.lines().find_map(|line| line.strip_prefix("x-key: ")).unwrap_or_default();
        let body = serde_json::json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": format!("you sent {key}")}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 5},
        });
        raw::upstream::ok("content-type: application/json\r\n", body.to_string().as_bytes())
    });
    let stage = behind(&upstream, "    meter: {provider: claude, format: anthropic}\n");
    let body = r#"{"model":"m","max_tokens":9,"messages":[]}"#;
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let agent = stage.agent();
    let identity = agent.identity();
    let request = format!(
        "POST http://plain.example.com/v1/messages HTTP/1.1\r\nHost: plain.example.com\r\n{identity}{length}\r\n{body}"
    );
    let answer = raw::ask(&mut agent.socket(), &request).passed();
    assert!(!answer.text().contains(SECRET), "{answer}");
}
