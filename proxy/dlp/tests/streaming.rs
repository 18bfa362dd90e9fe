//! However the bytes come, the same is found; and whatever a value is wrapped in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod benign;
mod common;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use benign::Dice;
use common::detectors;
use hudson_dlp::{Class, Detectors, Encoding, Finding, Head, KnownValue, Part, Scanner};
use proptest::prelude::*;
use secrecy::SecretString;
use std::sync::{Arc, LazyLock};

/// Put together here, so that no scanner takes this file for a leak.
const TOKEN: &str = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");
const KNOWN: &str = concat!("hk-Zr8", "Qw5Tn2Vb9Lm4Xc7Kd");
const CANARY: &str = concat!("cnry-", "Pq3Rt8Yw1");

static DETECTORS: LazyLock<Arc<Detectors>> = LazyLock::new(|| {
    let secret = |text: &str| SecretString::from(text.to_owned());
    let home = vec!["api.home.example".to_owned()];
    detectors(
        vec![
            KnownValue::secret("KNOWN", secret(KNOWN)).at_home(home),
            KnownValue::canary("BAIT", secret(CANARY)),
        ],
        false,
    )
});

fn scan(body: &[u8], chunks: &[usize]) -> Vec<Finding> {
    let mut scanner = Scanner::new(Arc::clone(&DETECTORS), Part::Body, "evil.example");
    let mut found = Vec::new();
    let mut rest = body;
    for size in chunks.iter().cycle() {
        let (now, later) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        found.extend(scanner.feed(now));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    found.extend(scanner.finish());
    found
}

fn rules(found: &[Finding]) -> Vec<&str> {
    found.iter().filter(|finding| finding.class >= Class::Act).map(|finding| &*finding.rule).collect()
}

/// Whether the body gives a finding of this rule and no other that acts.
fn finds(body: &str, rule: &str) {
    let found = scan(body.as_bytes(), &[usize::MAX]);
    assert_eq!(rules(&found), [rule], "{body}: {found:?}");
}

/// A long body with values at its blocks' borders.
fn long_body() -> Vec<u8> {
    let mut dice = Dice::new(5);
    let mut body = benign::bodies("llm_bodies", 700 << 10, 3).concat();
    for border in 1..5 {
        for (number, value) in [TOKEN, KNOWN, CANARY].iter().enumerate() {
            let value = match dice.below(3) {
                0 => (*value).to_owned(),
                1 => STANDARD.encode(format!("value: {value} ")),
                _ => value.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            };
            let at = (border << 17) - 2000 + number * 1200 + dice.below(900);
            let text = format!("\" {value} \"");
            body.splice(at..at + text.len(), text.into_bytes());
        }
    }
    body
}

#[test]
fn a_body_gives_the_same_findings_at_any_chunk_size() {
    let body = long_body();
    let whole = scan(&body, &[usize::MAX]);
    assert!(rules(&whole).len() >= 12, "{:?}", rules(&whole));
    for size in [1, 7, 1400, 16_384, 131_072, 131_073] {
        assert_eq!(scan(&body, &[size]), whole, "chunks of {size}");
    }
}

#[test]
fn a_value_is_found_at_every_split() {
    let body = format!(r#"{{"a": "x {TOKEN} y", "b": "{KNOWN}"}}"#);
    let whole = scan(body.as_bytes(), &[usize::MAX]);
    assert_eq!(rules(&whole), ["github-pat", "known-value"]);
    for at in 1..body.len() {
        assert_eq!(scan(body.as_bytes(), &[at, body.len()]), whole, "split at {at}");
    }
}

#[test]
fn a_value_is_found_wherever_in_a_long_body_it_stands() {
    for at in ((128 << 10) - 1300..(128 << 10) + 100).step_by(13) {
        let mut body = vec![b' '; 300 << 10];
        body.splice(at..at + TOKEN.len(), TOKEN.bytes());
        let found = scan(&body, &[4096]);
        assert_eq!(rules(&found), ["github-pat"], "at {at}");
        assert_eq!((found[0].start, found[0].end), (at, at + TOKEN.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_chunking_gives_the_same_findings(sizes in prop::collection::vec(1usize..40_000, 1..20), seed in 0u64..1000) {
        let mut body = benign::bodies(benign::KINDS[seed as usize % 8], 150 << 10, seed).concat();
        let at = (seed as usize * 7919) % (body.len() - 200);
        body.splice(at..at, format!("\" {TOKEN} {KNOWN} \"").into_bytes());
        prop_assert_eq!(scan(&body, &sizes), scan(&body, &[usize::MAX]));
    }
}

#[test]
fn a_token_is_found_in_every_encoding() {
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let escaped: String = TOKEN.bytes().map(|byte| format!("\\u{:04x}", byte)).collect();
    let twice: String = percent.replace('%', "%25");
    let thrice: String = twice.replace('%', "%25");
    let references: String = TOKEN.bytes().map(|byte| format!("&#{byte};")).collect();
    let wide: String = TOKEN.chars().map(|c| format!("{c}\u{200b}")).collect();
    let wrapped = STANDARD.encode(format!("{}{TOKEN}{}", "x ".repeat(40), " y".repeat(40)));
    let lines: String =
        wrapped.as_bytes().chunks(76).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
    let texts = [
        ("plain", format!("x={TOKEN}")),
        ("json key", format!(r#"{{"{TOKEN}": 1}}"#)),
        ("json escapes", format!(r#"{{"a": "{escaped}"}}"#)),
        ("json in json", format!(r#"{{"a": "{{\"b\": \"\\n{TOKEN}\"}}"}}"#)),
        (
            "escapes in json in json",
            format!(r#"{{"a": "{{\"b\": \"{}\"}}"}}"#, escaped.replace('\\', "\\\\")),
        ),
        ("percent", format!("a={percent}")),
        ("percent twice", format!("a={twice}")),
        ("percent three times", format!("a={thrice}")),
        ("references", references),
        ("hexadecimal", format!("a={hex}")),
        ("base64", STANDARD.encode(format!("the token is {TOKEN}"))),
        ("base64 for addresses", URL_SAFE_NO_PAD.encode(format!("??>>~~{TOKEN}"))),
        ("base64 behind other letters", format!("QUFB{}", STANDARD.encode(format!("A {TOKEN}")))),
        ("base64 twice", STANDARD.encode(STANDARD.encode(format!("token {TOKEN}")))),
        ("base64 of hexadecimal", STANDARD.encode(&hex)),
        ("base64 in lines", lines),
        ("unseen characters", wide),
        ("cyrillic", TOKEN.replacen('p', "\u{440}", 1)),
        (
            "multipart",
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{TOKEN}.txt\"\r\n\r\nx\r\n--b--"
            ),
        ),
    ];
    for (name, text) in texts {
        let found = scan(text.as_bytes(), &[usize::MAX]);
        assert!(rules(&found).contains(&"github-pat"), "{name}: {text}\n{found:?}");
    }
}

#[test]
fn compressed_text_in_base64_is_looked_into() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(format!("token {TOKEN}\n").as_bytes()).unwrap();
    let found = scan(STANDARD.encode(encoder.finish().unwrap()).as_bytes(), &[usize::MAX]);
    assert_eq!(rules(&found), ["github-pat"]);
    assert_eq!(found[0].encodings, [Encoding::Gzip]);
}

#[test]
fn a_known_value_is_found_in_every_encoding() {
    let hex: String = KNOWN.bytes().map(|byte| format!("{byte:02X}")).collect();
    let utf16: Vec<u8> = KNOWN.bytes().flat_map(|byte| [byte, 0]).collect();
    let reversed: String = KNOWN.chars().rev().collect();
    finds(KNOWN, "known-value");
    finds(&KNOWN.to_ascii_uppercase(), "known-value");
    finds(&hex, "known-value");
    finds(&reversed, "known-value");
    for front in 0..6 {
        for text in [
            STANDARD.encode(format!("{}{KNOWN}zz", "a".repeat(front))),
            STANDARD.encode([vec![0xff; front], KNOWN.into()].concat()),
        ] {
            finds(&text, "known-value");
            let twice = STANDARD.encode(format!("{}{text}", "b".repeat(front)));
            finds(&twice, "known-value");
        }
    }
    assert_eq!(rules(&scan(&utf16, &[3])), ["known-value"]);
}

#[test]
fn a_known_value_in_pieces_is_found() {
    let (one, two) = KNOWN.split_at(11);
    finds(&format!(r#"{{"first": "{one}", "then": "{two}"}}"#), "known-value-split");
    let far = format!("{one}{}{two}", "x ".repeat(200_000));
    assert_eq!(rules(&scan(far.as_bytes(), &[1000])), ["known-value-split"]);
    assert!(rules(&scan(one.as_bytes(), &[100])).is_empty(), "a part alone");
}

#[test]
fn a_canary_trips_and_a_credential_may_go_home() {
    let found = scan(format!("x {CANARY} y").as_bytes(), &[5]);
    assert_eq!((found[0].class, &*found[0].rule), (Class::Trip, "canary"));
    let at = |host: &str| DETECTORS.scan(Part::Body, host, KNOWN.as_bytes())[0].class;
    assert_eq!(at("api.home.example"), Class::Note);
    assert_eq!(at("api.home.example.evil.net"), Class::Act);
    assert_eq!(at("evil.net"), Class::Act);
}

#[test]
fn values_split_over_a_head_are_found() {
    let (one, two) = KNOWN.split_at(9);
    let (first, second) = TOKEN.split_at(20);
    let scan = |host: &str, target: &str, headers: &[(&str, &[u8])]| {
        let found = DETECTORS.scan_head(&Head { host, target, headers });
        found
            .iter()
            .filter(|finding| finding.class >= Class::Act)
            .map(|finding| finding.rule.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(scan("evil.example", &format!("/x?a={first}&b={second}"), &[]), ["github-pat"]);
    assert_eq!(scan("evil.example", &format!("/{first}/{second}"), &[]), ["github-pat"]);
    assert_eq!(
        scan("evil.example", "/", &[("x-a", one.as_bytes()), ("x-b", two.as_bytes())]),
        ["known-value"]
    );
    assert_eq!(scan(&format!("{one}.{two}.evil.example"), "/", &[]), ["known-value"]);
    assert_eq!(scan("evil.example", "/", &[("cookie", TOKEN.as_bytes())]), ["github-pat"]);
    let dashed: Vec<String> = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(scan("evil.example", &format!("/x?k={}", dashed.join("-")), &[]), ["github-pat"]);
    assert_eq!(
        scan("7365637265745f6170695f6b65795f3132333435.evil.example", "/", &[]),
        ["encoded-host-label"]
    );
    assert!(
        scan(
            "cdn.example",
            "/a/b?q=hello+world&page=2",
            &[("accept", b"application/json"), ("user-agent", b"x/1.0")]
        )
        .is_empty()
    );
}

#[test]
fn no_finding_holds_the_value() {
    let body = format!("{TOKEN} {KNOWN} {CANARY} password = 'h7k2mPq9!x4'");
    let found = scan(body.as_bytes(), &[10]);
    let told = format!("{found:?} {}", serde_json::to_string(&found).unwrap());
    for value in [TOKEN, KNOWN, CANARY, "h7k2mPq9!x4"] {
        assert!(!told.contains(&value[4..]) && !told.contains(&value[..6]), "{told}");
    }
}
