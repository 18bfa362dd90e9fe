//! Bodies that are made to cost much.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod common;

use common::{detectors, report};
use hudson_dlp::{Part, Scanner};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of each body.
const BYTES: usize = if cfg!(debug_assertions) { 1 << 20 } else { 8 << 20 };
/// Seconds that a megabyte may take at worst.
const SECONDS: f64 = if cfg!(debug_assertions) { 10.0 } else { 1.0 };

fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn no_body_costs_more_than_its_length_allows() {
    use base64::Engine as _;
    let detectors = detectors(Vec::new(), false);
    let nested =
        (0..6).fold("ghp_".repeat(40), |text, _| base64::engine::general_purpose::STANDARD.encode(text));
    let percent = (0..6).fold("%67".to_owned(), |text, _| text.replace('%', "%25"));
    let parts = [
        ("a keyword over and over", "token=".to_owned()),
        (
            "keywords of every kind",
            "ghp_ sk-ant-api03- eyJ datadog_api_key= 1a2b3c4d5e6f -----BEGIN password= https://a:".to_owned(),
        ),
        ("keys that begin", "-----BEGIN PRIVATE KEY-----\nMIIE".to_owned()),
        ("tokens that never end", "eyJhbGciOiJIUzI1NiJ9.eyJ".to_owned()),
        ("beginnings of tokens", "eyJ-".to_owned()),
        ("beginnings of keys of JSON", "\"kty\":\"RSA\",".to_owned()),
        ("base64 of base64", nested),
        ("percent of percent", percent),
        ("escapes", r"\u0067\x67&#103;%67".to_owned()),
        ("backslashes", r"\".to_owned()),
        ("quotes", "\"".to_owned()),
        ("unseen characters", "a\u{200b}\u{440}".to_owned()),
        ("digits", "4111 1111 1111 1111 ".to_owned()),
        ("hexadecimal digits", "0123456789abcdef".to_owned()),
        ("brackets", "[{".to_owned()),
        ("one letter", "A".to_owned()),
        ("names and values", "notion_key = 1a2b3c4d5e6f7a8b9c0d ".to_owned()),
    ];
    for (name, part) in parts {
        for front in ["", "{\"a\":\""] {
            let mut body = front.as_bytes().to_vec();
            body.extend(part.bytes().cycle().take(BYTES));
            let mut scanner = Scanner::new(Arc::clone(&detectors), Part::Body, "host.invalid");
            let start = spent();
            let mut findings = scanner.feed(&body).len();
            findings += scanner.finish().len();
            let each = (spent() - start).as_secs_f64() / (BYTES as f64 / 1e6);
            report!(
                "{name}{}: {:.1} ms a MB, {findings} findings",
                if front.is_empty() { "" } else { " in JSON" },
                each * 1e3
            );
            assert!(each <= SECONDS, "{name}: {each} s");
        }
    }
}

#[test]
fn a_token_is_not_hidden_by_noise() {
    let token = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");
    let detectors = detectors(Vec::new(), false);
    let noise = [
        "notion_key = 1a2b3c4d5e6f7a8b9c0d ".repeat(3000),
        "eyJ-".repeat(30_000),
        format!("{} ", "ABCDEFGHIJKLMNOP234567QRSTUVWXYZ".repeat(4)).repeat(900),
        format!("{} ", "Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9w".repeat(3)).repeat(900),
    ];
    for noise in noise {
        use base64::Engine as _;
        for hidden in
            [token.to_owned(), base64::engine::general_purpose::STANDARD.encode(format!("token {token} "))]
        {
            let body = format!("{noise} {hidden} {noise}");
            let findings = detectors.scan(Part::Body, "host.invalid", body.as_bytes());
            let acting = findings.iter().filter(|finding| finding.class >= hudson_dlp::Class::Act);
            let rules: Vec<&str> = acting.map(|finding| &*finding.rule).collect();
            assert!(
                rules.contains(&"github-pat") || rules.contains(&"flooded"),
                "{rules:?} behind {:?}",
                &noise[..40]
            );
        }
    }
}
