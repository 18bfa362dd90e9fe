//! What is taken out, and what must stay as it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod benign;
mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use benign::Dice;
use common::detectors;
use hudson_dlp::{Class, Detectors, HashKey, KnownValue, Part, SealedSet, regions, spare};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

const TOKEN: &str = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");
const KNOWN: &str = concat!("hk-Zr8", "Qw5Tn2Vb9Lm4Xc7Kd");

static DETECTORS: LazyLock<Arc<Detectors>> = LazyLock::new(|| {
    detectors(vec![KnownValue::secret("KNOWN", SecretString::from(KNOWN.to_owned()))], false)
});

fn sealed() -> SealedSet {
    SealedSet::new(HashKey::new([7; 32]), 100)
}

/// Scans and redacts a body; the error's text where that is not safe.
fn redacted(body: &[u8], sealed: &SealedSet) -> Result<Vec<u8>, String> {
    let mut findings = DETECTORS.scan(Part::Body, "api.example.com", body);
    let regions = regions(body, |value| sealed.contains(value));
    spare(&mut findings, &regions);
    DETECTORS.redact("api.example.com", body, &findings, &regions).map_err(|error| error.to_string())
}

#[test]
fn values_go_and_lengths_and_json_stay() {
    let inner = STANDARD.encode(format!("# config\ntoken = {TOKEN}\n"));
    let body = json!({"a": format!("x {TOKEN}\n"), KNOWN: 1, "b": inner, "c": format!("{{\"d\": \"{TOKEN}\"}}"), "e": "stays",
        "card_number": 4539578763621486u64});
    let body = serde_json::to_vec(&body).unwrap();
    let out = redacted(&body, &sealed()).unwrap();
    assert_eq!(out.len(), body.len());
    let read: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(read["e"], "stays");
    assert_eq!(read["a"], format!("x {}\n", "*".repeat(TOKEN.len())));
    let inner = STANDARD.decode(read["b"].as_str().unwrap()).unwrap();
    assert!(
        inner.starts_with(b"# config\ntoken")
            && memchr::memmem::find(&inner, &TOKEN.as_bytes()[4..]).is_none()
    );
    let found = DETECTORS.scan(Part::Body, "api.example.com", &out);
    assert!(found.iter().all(|finding| finding.class < Class::Act), "{found:?}");
}

#[test]
fn images_and_signatures_stay_byte_for_byte() {
    let mut dice = Dice::new(11);
    let mut set = sealed();
    for round in 0..40 {
        let png = STANDARD.encode(benign::png(&mut dice, 30_000));
        let jpeg = STANDARD.encode(benign::jpeg(&mut dice, 30_000));
        let signature = dice.base64(900);
        let reasoning = format!("gAAAAAB{}", dice.base64_url(3000));
        set.note(json!({"type": "thinking", "signature": signature}).to_string().as_bytes());
        set.note(format!("data: {}\n\n", json!({"item": {"encrypted_content": reasoning}})).as_bytes());
        let body = json!({"text": format!("token {TOKEN}"), "images": [{"data": png}, {"url": format!("data:image/jpeg;base64,{jpeg}")}],
            "signature": signature, "encrypted_content": reasoning, "round": round});
        let out = redacted(&serde_json::to_vec(&body).unwrap(), &set).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["images"], body["images"]);
        assert_eq!(
            (&read["signature"], &read["encrypted_content"]),
            (&body["signature"], &body["encrypted_content"])
        );
        assert!(!read["text"].as_str().unwrap().contains(TOKEN));
    }
}

#[test]
fn a_value_that_rides_behind_an_image_is_found() {
    let mut dice = Dice::new(12);
    for media in [benign::png(&mut dice, 5000), benign::jpeg(&mut dice, 5000)] {
        let riding = [media.clone(), format!(" {TOKEN} ").into_bytes()].concat();
        let body = json!({"data": STANDARD.encode(riding)}).to_string();
        let findings = DETECTORS.scan(Part::Body, "h", body.as_bytes());
        assert!(findings.iter().any(|finding| finding.class >= Class::Act), "{findings:?}");
        assert!(regions(body.as_bytes(), |value| sealed().contains(value)).is_empty());
        let clean = json!({"data": STANDARD.encode(media)}).to_string();
        assert_eq!(regions(clean.as_bytes(), |value| sealed().contains(value)).len(), 1);
    }
}

#[test]
fn what_cannot_be_taken_out_safely_is_refused() {
    let (one, two) = KNOWN.split_at(11);
    let split = json!({"a": one, "b": two}).to_string();
    assert!(redacted(split.as_bytes(), &sealed()).unwrap_err().contains("split"));
    let mut set = sealed();
    let signature = format!("{}{KNOWN}{}", "A".repeat(100), "B".repeat(100));
    set.note(json!({"signature": signature}).to_string().as_bytes());
    let body = json!({"signature": signature}).to_string();
    assert!(redacted(body.as_bytes(), &set).unwrap_err().contains("must stay"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_redacted_body_is_json_of_its_length_without_the_value(
        keys in prop::collection::vec("[a-z\"\\\\\n\u{e9}]{0,12}", 1..6),
        texts in prop::collection::vec("[ -~\u{e9}\u{200b}]{0,40}", 1..6),
        place in 0usize..6,
    ) {
        let mut map = serde_json::Map::new();
        for (number, key) in keys.iter().enumerate() {
            let text = &texts[number % texts.len()];
            let value = if number == place % keys.len() { format!("{text} {KNOWN} {text}") } else { text.clone() };
            map.insert(key.clone(), Value::String(value));
        }
        let body = serde_json::to_vec(&map).unwrap();
        let out = redacted(&body, &sealed()).unwrap();
        prop_assert_eq!(out.len(), body.len());
        prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
        prop_assert!(memchr::memmem::find(&out, KNOWN.as_bytes()).is_none());
    }
}
