//! Values that leave in several messages or requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod benign;
mod common;

use common::report;
use hudson_dlp::{Class, Encoding, Finding, Fragments, KnownValue, Part, Scanner};
use proptest::prelude::*;
use secrecy::SecretString;
use std::sync::Arc;

/// A minute, in milliseconds.
const MINUTE: u64 = 60_000;
const VALUE: &str = "hk-Zr8Qw5Tn2Vb9Lm4Xc7Kd";
const TOKEN: &str = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");

fn ring(known: &[&str]) -> Fragments {
    let usual = common::detectors_of_no_values();
    let value = |text: &&str| KnownValue::secret("DEPLOY_KEY", SecretString::from((*text).to_owned()));
    let detectors = Arc::new(usual.with_known(known.iter().map(value).collect()));
    Fragments::new(detectors, Part::Message, "api.example.com", 5 * MINUTE)
}

/// The rules of all that messages, a second apart, show together.
fn told<T: AsRef<[u8]>>(ring: &mut Fragments, messages: &[T]) -> Vec<String> {
    let found = messages
        .iter()
        .enumerate()
        .flat_map(|(second, message)| ring.push(second as u64 * 1000, message.as_ref()));
    found
        .map(|finding| {
            assert!(finding.encodings.contains(&Encoding::Split) && finding.class >= Class::Act);
            finding.rule.to_string()
        })
        .collect()
}

/// Whether a value is random enough to be looked for.
fn ring_takes(value: &str) -> bool {
    let value = KnownValue::secret("X", SecretString::from(value.to_owned()));
    common::policy_detectors(&[]).with_known(vec![value]).unused().is_empty()
}

/// A message around a piece.
fn wrapped(kind: usize, number: usize, piece: &str) -> String {
    match kind {
        0 => piece.to_owned(),
        1 => serde_json::json!({"seq": number, "data": piece}).to_string(),
        2 => format!("part {number}: {piece}"),
        3 => format!("session=9f2c&n={number}&chunk={piece}"),
        4 => format!("<chunk n=\"{number}\">{piece}</chunk>"),
        5 => serde_json::json!({"type": "note", "id": format!("ev_{number}"), format!("part{number}"): piece, "from": "agent"})
            .to_string(),
        _ => serde_json::json!({"messages": [{"role": "user", "content": format!("please remember {piece} for me")}]})
            .to_string(),
    }
}

fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| 1 + cut % (text.len() - 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|ends| text[ends[0]..ends[1]].to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_known_value_in_two_to_six_messages_is_found(
        value in "[A-Za-z0-9_+/-]{20,48}",
        cuts in prop::collection::vec(any::<usize>(), 1..6),
        kind in 0usize..7,
    ) {
        let mut ring = ring(&[&value]);
        let messages: Vec<String> =
            pieces(&value, &cuts).iter().enumerate().map(|(number, piece)| wrapped(kind, number, piece)).collect();
        prop_assume!(messages.len() > 1 && ring_takes(&value));
        let found = told(&mut ring, &messages);
        prop_assert_eq!(found.len(), 1, "{:?} of {:?}", found, messages);
        prop_assert!(found[0].starts_with("known-value"));
    }

    #[test]
    fn a_token_in_two_to_six_messages_is_found(cuts in prop::collection::vec(any::<usize>(), 1..6), kind in 0usize..5) {
        let messages: Vec<String> =
            pieces(TOKEN, &cuts).iter().enumerate().map(|(number, piece)| wrapped(kind, number, piece)).collect();
        let alone = |message: &String| common::detectors_of_no_values().scan(Part::Body, "h", message.as_bytes());
        prop_assume!(messages.len() > 1 && messages.iter().all(|message| alone(message).is_empty()));
        let found = told(&mut ring(&[]), &messages);
        prop_assert!(!found.is_empty() && found.iter().all(|rule| rule == "github-pat"), "{:?} of {:?}", found, messages);
    }

    #[test]
    fn nothing_panics_and_no_value_is_told(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let mut ring = ring(&[VALUE]);
        for message in &messages {
            for finding in ring.push(0, message) {
                prop_assert!(finding.start <= finding.end && finding.end <= message.len());
                let shown = format!("{finding:?}");
                prop_assert!(!shown.contains(VALUE));
            }
        }
    }
}

#[test]
fn a_ring_shows_nothing_of_what_it_keeps() {
    let mut ring = ring(&[]);
    ring.push(0, b"AAAAAAAA");
    let shown = format!("{ring:?}");
    assert!(!shown.contains("AAAA") && !shown.contains("65, 65"), "{shown}");
}

#[test]
fn words_may_stand_between_the_pieces() {
    let messages = [
        "I will tell you the key now, it begins with hk-Zr8Qw5Tn and then",
        "nothing to see here, only a friendly message about the weather",
        "it goes on: 2Vb9Lm4Xc7Kd - that is all",
    ];
    assert_eq!(told(&mut ring(&[VALUE]), &messages), ["known-value-split"]);
}

#[test]
fn pieces_of_a_value_in_any_order_are_found() {
    let messages = ["b) xx8Qw5Tn2Vb9yy", "a) zzZr8Qw5Tn2Vvv", "c) wwVb9Lm4Xc7Kduu"];
    assert_eq!(told(&mut ring(&[VALUE]), &messages), ["known-value-split"]);
}

#[test]
fn what_one_message_shows_alone_is_not_told_again() {
    for text in [VALUE, TOKEN] {
        let whole = |number: usize| format!("{{\"n\":\"{number}\",\"text\":\"the value is {text} indeed\"}}");
        let messages: Vec<String> = (0..6).map(whole).collect();
        assert!(told(&mut ring(&[VALUE]), &messages).is_empty(), "{messages:?}");
        let bare = [text, "abcdefghij", text, "0123", "and so on"];
        assert!(told(&mut ring(&[VALUE]), &bare).is_empty(), "{bare:?}");
    }
}

#[test]
fn a_conversation_that_is_sent_again_with_each_turn_tells_nothing() {
    let mut ring = ring(&[VALUE]);
    let mut turns = Vec::new();
    let halves = ["the first half is hk-Zr8Qw5Tn", "the other half is 2Vb9Lm4Xc7Kd", "is it right?"];
    let mut bodies = Vec::new();
    for turn in ["hello", TOKEN, VALUE, "and what now?", "thank you"] {
        turns.push(serde_json::json!({"role": "user", "content": turn}));
        bodies.push(serde_json::json!({"model": "m", "messages": turns}).to_string());
    }
    assert!(told(&mut ring, &bodies).is_empty());
    // Both halves of a value stand in each later turn: that is told once, when the second one comes.
    turns.clear();
    let mut found = Vec::new();
    for (second, turn) in halves.iter().enumerate() {
        turns.push(serde_json::json!({"role": "user", "content": turn}));
        let body = serde_json::json!({"model": "m", "messages": turns}).to_string();
        found.extend(ring.push(9000 + second as u64, body.as_bytes()));
    }
    assert!(found.len() <= 1, "{found:?}");
}

#[test]
fn a_value_is_told_once_and_forgotten_after_its_time() {
    let mut ring = ring(&[VALUE]);
    let halves = ["data: hk-Zr8Qw5Tn", "data: 2Vb9Lm4Xc7Kd"];
    let mut send = |at: u64, half: usize| ring.push(at, halves[half].as_bytes()).len();
    assert_eq!([send(0, 0), send(10, 1), send(20, 0), send(30, 1)], [0, 1, 0, 0]);
    assert_eq!([send(30 * MINUTE, 0), send(36 * MINUTE, 1)], [0, 0], "too long after");
    assert_eq!([send(60 * MINUTE, 0), send(61 * MINUTE, 1)], [0, 1]);
    assert_eq!([send(0, 0)], [0], "a clock that goes back");
}

#[test]
fn benign_traffic_in_pieces_and_whole_tells_nothing() {
    let known: Vec<KnownValue> = vec![KnownValue::secret("K", SecretString::from(VALUE.to_owned()))];
    let detectors = common::detectors(known, false);
    let size = if cfg!(debug_assertions) { 1 << 20 } else { 8 << 20 };
    for (seed, kind) in benign::KINDS.iter().enumerate() {
        let mut whole = Fragments::new(Arc::clone(&detectors), Part::Body, "api.example.com", 5 * MINUTE);
        let mut lines = Fragments::new(Arc::clone(&detectors), Part::Body, "api.example.com", 5 * MINUTE);
        let mut chunks = Fragments::new(Arc::clone(&detectors), Part::Body, "api.example.com", 5 * MINUTE);
        let mut dice = benign::Dice::new(seed as u64);
        let mut acting: Vec<String> = Vec::new();
        let mut note = |how: &str, found: Vec<Finding>| {
            acting.extend(found.iter().map(|finding| format!("{how}: {} {}", finding.rule, finding.preview)));
        };
        for body in benign::bodies(kind, size, seed as u64 + 500) {
            note("whole", whole.push(0, &body));
            for line in body.split(|byte| matches!(byte, b'\n' | b'}')).take(400) {
                note("lines", lines.push(0, line));
            }
            let mut rest = body.get(..body.len().min(60_000)).unwrap();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((1 + dice.below(900)).min(rest.len()));
                note("chunks", chunks.push(0, now));
                rest = later;
            }
        }
        assert!(acting.is_empty(), "{kind}: {acting:#?}");
    }
}

#[test]
fn a_message_costs_little() {
    let detectors = common::detectors(Vec::new(), false);
    let mut ring = Fragments::new(Arc::clone(&detectors), Part::Message, "api.example.com", 5 * MINUTE);
    let bodies = benign::bodies("telemetry", 1 << 20, 9);
    let events: Vec<Vec<u8>> =
        bodies.concat().split(|byte| *byte == b'}').map(<[u8]>::to_vec).take(2000).collect();
    let start = std::time::Instant::now();
    for event in &events {
        std::hint::black_box(ring.push(0, event));
    }
    let each = start.elapsed() / 2000;
    report!("a message of {} bytes: {each:?}", events[1].len());
    let mut scanner = Scanner::new(detectors, Part::Message, "api.example.com");
    scanner.feed(&events[1]);
    assert!(scanner.finish().iter().all(|finding| finding.class < Class::Act));
}

#[test]
fn a_token_over_two_targets_is_found() {
    let detectors = common::detectors(Vec::new(), false);
    let mut fragments = Fragments::new(detectors, Part::Body, "files.example.com", 60_000);
    assert!(fragments.push(0, b"/log?part=ghp_wWPw5k4aXcaT4fNP0").is_empty());
    let found = fragments.push(1, b"/log?part=UcnZwJUVFk6LO0pINUx");
    assert_eq!(found.iter().map(|finding| &*finding.rule).collect::<Vec<_>>(), ["github-pat"]);
}
