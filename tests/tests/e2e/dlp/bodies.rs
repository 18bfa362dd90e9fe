//! Bodies: each action, encodings, sizes and speeds.

use std::io::Write as _;
use std::time::Duration;

use super::{HOST, Scene, TOKEN, base64};
use crate::raw::upstream::ok;
use crate::raw::{self, Upstream, answer::read_answer};

const BLOCK: &str = "    outbound_on_match: block\n";
const REDACT: &str = "    outbound_on_match: redact\n";
const WARN: &str = "    outbound_on_match: warn\n";

fn secret() -> String {
    format!(r#"{{"note":"deploy with {TOKEN} today","n":7}}"#)
}

#[test]
fn each_route_does_what_it_says() {
    let scene = Scene::new(BLOCK);
    let refusal = scene.post(&secret()).refused(403, "dlp_blocked").says("DLP").says("body /note");
    assert!(!refusal.text().contains(TOKEN), "{refusal}");
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());

    let scene = Scene::new(REDACT);
    let answer = scene.post(&secret()).passed();
    let stars = "*".repeat(TOKEN.len());
    answer.says(&format!(r#"{{"note":"deploy with {stars} today","n":7}}"#));
    assert!(!scene.leaked(TOKEN));

    let scene = Scene::new(WARN);
    scene.post(&secret()).passed().says(TOKEN);
    assert_eq!(scene.stage.event("dlp_finding")["action"], "warn");
    // The upstream sends it back, and who reads the log learns that, too.
    let received = scene.stage.event("secret_received");
    assert_eq!((&received["rule"], &received["bottle"]), (&"github-pat".into(), &"ci".into()), "{received}");

    let scene = Scene::new("    dlp: {outbound_detectors: false}\n");
    scene.post(&secret()).passed().says(TOKEN);
    assert!(scene.stage.events("dlp_finding").is_empty());
}

/// Nobody answers, so that what waits for a person is refused. What people decide is in `approvals::supervise`.
#[test]
fn a_route_that_says_nothing_holds_it_for_a_person() {
    let scene = Scene::with("", "approvals: {hold_timeout: 300ms}\n", |setting| setting);
    scene.post(&secret()).refused(403, "dlp_timed_out").says("timed out");
    assert!(!scene.leaked(TOKEN));
    let event = scene.stage.event("dlp_finding");
    assert_eq!((&event["action"], &event["rule"]), (&"supervise".into(), &"github-pat".into()), "{event}");
    assert_eq!((&event["place"], &event["bottle"]), (&"body /note".into(), &"ci".into()), "{event}");
    assert_eq!(event["preview"], "ghp_… (40 bytes)");
}

#[test]
fn an_encoding_hides_nothing() {
    let scene = Scene::new(BLOCK);
    let spelled: String = TOKEN.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let hexadecimal: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for hidden in [
        format!(r#"{{"a":"{spelled}"}}"#),
        format!(r#"{{"{TOKEN}":1}}"#),
        format!("a={percent}&b=1"),
        format!("x {} y", base64(&format!("some text {TOKEN} more"))),
        format!("x {hexadecimal} y"),
        base64(&base64(TOKEN)),
    ] {
        scene.post(&hidden).refused(403, "dlp_blocked");
    }
    for (coding, body) in [
        ("gzip", gzip(secret().as_bytes())),
        ("br", brotli(secret().as_bytes())),
        ("zstd", zstd::encode_all(secret().as_bytes(), 3).expect("it can be encoded")),
        ("gzip, gzip", gzip(&gzip(secret().as_bytes()))),
    ] {
        let headers = format!("content-encoding: {coding}\r\n");
        scene.ask("POST", "/upload", &headers, &body).refused(403, "dlp_blocked");
    }
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
}

/// A file that is sent as it is on the disk, compressed, and that nobody calls so.
#[test]
fn a_compressed_file_hides_nothing() {
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("it can be encoded");
    for route in [BLOCK, REDACT] {
        let scene = Scene::new(route);
        let code = if route == BLOCK { "dlp_blocked" } else { "redaction_unsafe" };
        let archive = ["words of no meaning\n".repeat(2_000), secret()].concat();
        for packed in [gzip(secret().as_bytes()), zstd(secret().as_bytes()), gzip(archive.as_bytes())] {
            scene.ask("POST", "/files/a.tar", "", &packed).refused(403, code);
            let cut_short = &packed[..packed.len() - 4];
            scene.ask("POST", "/files/a.tar", "", cut_short).refused(403, code);
            scene.ask("POST", "/", "content-encoding: gzip\r\n", &gzip(&packed)).refused(403, code);
        }
        let bomb = gzip(&vec![0; 128 << 20]);
        scene.ask("POST", "/", "", &bomb).refused(415, "body_unreadable").says("on_unscannable");
        assert_eq!(scene.upstream.seen(), Vec::<String>::new());
        for innocent in [gzip(b"nothing to see"), zstd(b"nothing to see"), b"\x1f\x8b\x08 no gzip".to_vec()] {
            scene.ask("POST", "/", "", &innocent).passed();
        }
    }
}

#[test]
fn a_body_that_cannot_be_read_is_refused_unless_the_operator_says_otherwise() {
    let scene = Scene::new(BLOCK);
    for (coding, body) in
        [("compress", &b"x"[..]), ("gzip", b"no gzip"), ("gzip", &gzip(&vec![0; 128 << 20]))]
    {
        let headers = format!("content-encoding: {coding}\r\n");
        scene.ask("POST", "/", &headers, body).refused(415, "body_unreadable").says("on_unscannable");
    }
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
    let scene = Scene::with(BLOCK, "dlp: {on_unscannable: warn}\n", |setting| setting);
    scene.ask("POST", "/", "content-encoding: compress\r\n", b"x").passed();
    assert_eq!(scene.stage.event("dlp_unscannable")["host"], HOST);
}

/// What is encoded goes on as it came where nothing is found, and in clear where something was taken out.
#[test]
fn a_compressed_body_is_redacted_and_an_innocent_one_is_not_touched() {
    let scene = Scene::new(REDACT);
    let packed = gzip(b"nothing to see");
    let answer = scene.ask("POST", "/", "content-encoding: gzip\r\n", &packed).passed();
    answer.says("content-encoding: gzip").says(&format!("content-length: {}", packed.len()));
    let answer = scene.ask("POST", "/", "content-encoding: gzip\r\n", &gzip(secret().as_bytes())).passed();
    assert!(!answer.text().contains("content-encoding"), "{answer}");
    answer.says("deploy with ****");
}

#[test]
fn a_chunked_upload_is_held_back_until_it_ends() {
    let scene = Scene::new(BLOCK);
    let (front, back) = TOKEN.split_at(15);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let head = scene.agent.absolute("POST", &format!("http://{HOST}/"), "transfer-encoding: chunked\r\n");
    let mut socket = scene.agent.socket();
    let request = format!("{head}{}{}{}0\r\n\r\n", chunk("text "), chunk(front), chunk(back));
    socket.write_all(request.as_bytes()).expect("the proxy reads");
    read_answer(&mut socket, false).expect("it is answered").refused(403, "dlp_blocked");
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
}

/// A body that is too large to be held back streams, and breaks off in front of the value.
#[test]
fn a_large_upload_is_broken_off_and_says_how_much_had_left() {
    let scene = Scene::with(BLOCK, "dlp: {buffer_limit: 65536}\n", |setting| setting);
    let filler = "words of no meaning at all, line after line\n".repeat(20_000);
    let body = format!("{filler}{TOKEN}\n{filler}");
    let answer = scene.ask("POST", "/", "", body.as_bytes());
    let answer = answer.refused(403, "dlp_blocked").says("bytes of the body had left before");
    assert!(!answer.text().contains(TOKEN), "{answer}");
    assert!(!scene.leaked(TOKEN), "the value left");
    let innocent = filler.repeat(2);
    let answer = scene.ask("POST", "/", "", innocent.as_bytes()).passed();
    assert!(answer.text().ends_with(&innocent), "it was changed");
}

/// Who sends piece by piece and waits for answers between is not kept waiting, and does not get a value out.
#[test]
fn an_upload_that_goes_on_and_on_is_looked_at_as_it_goes() {
    let scene = Scene::new(BLOCK);
    let head = scene.agent.absolute("POST", &format!("http://{HOST}/"), "transfer-encoding: chunked\r\n");
    let mut socket = scene.agent.socket();
    socket.write_all(head.as_bytes()).expect("the proxy reads");
    for piece in ["first ", "second ", &TOKEN[..20], &TOKEN[20..], " last"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        if socket.write_all(chunk.as_bytes()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    let _ = socket.write_all(b"0\r\n\r\n");
    let answer = read_answer(&mut socket, false).expect("it is answered");
    answer.refused(403, "dlp_blocked").says("bytes of the body had left before");
    assert!(!scene.leaked(TOKEN), "the value left");
}

#[test]
fn images_and_lock_files_pass_byte_for_byte_where_values_are_redacted() {
    let scene = Scene::new(REDACT);
    let png = base64_of(&png());
    let lock =
        r#""integrity":"sha512-ghp0AKIAIOSFODNN7EXAMPLEq1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C2v3B4=="#;
    let body = format!(
        r#"{{"source":{{"media_type":"image/png","data":"{png}"}},"sha":"{}",{lock}}}"#,
        "0f".repeat(20)
    );
    let answer = scene.post(&body).passed();
    assert!(answer.text().ends_with(&body), "{answer}");
}

/// A value inside of something that must not be changed cannot be taken out.
#[test]
fn what_cannot_be_taken_out_is_refused() {
    let scene = Scene::new(REDACT);
    let (front, back) = TOKEN.split_at(20);
    let body = format!(r#"{{"a":"{front}","b":"{back}"}}"#);
    scene.post(&body).refused(403, "redaction_unsafe").says("cannot be redacted");
    assert!(!scene.leaked(front));
}

/// A model call is redacted before it is counted, held and sent.
#[test]
fn metered_requests_are_looked_at_too() {
    let answer = br#"{"id":"m1","type":"message","model":"m","usage":{"input_tokens":9,"output_tokens":5}}"#;
    let upstream = Upstream::start(move |_| ok("content-type: application/json\r\n", answer));
    let routes = "routes:\n  - host: models.example.com\n    scheme: http\n    outbound_on_match: redact\n    \
                  meter: {provider: claude, format: anthropic}\n  - host: api.openai.com\n    outbound_on_match: block\n";
    let stage = raw::routes(routes).connect_to("models.example.com:80", upstream.address).start();
    let agent = stage.agent();
    let message = |text: &str| {
        format!(r#"{{"model":"m","max_tokens":50,"messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    let body = message(&format!("why does {TOKEN} not work?"));
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let mut socket = agent.socket();
    let head = agent.absolute("POST", "http://models.example.com/v1/messages", &headers);
    raw::ask(&mut socket, &format!("{head}{body}")).passed();
    let sent = upstream.seen().pop().expect("it arrived");
    assert!(sent.contains(&"*".repeat(TOKEN.len())) && !sent.contains(TOKEN), "{sent}");

    let request = raw::request("POST", "https://api.openai.com/v1/chat/completions", &message(TOKEN));
    agent.http2_one("api.openai.com", request).refused(400, "dlp_blocked").says("DLP");
    assert_eq!(stage.arrived(), 0);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    brotli::CompressorWriter::new(&mut packed, 4096, 5, 20).write_all(bytes).expect("memory takes it");
    packed
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A whole PNG of random bytes, in which forms of tokens may stand by chance.
fn png() -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let named = [&name[..], data].concat();
        let sum = crc32fast::hash(&named).to_be_bytes();
        [&(data.len() as u32).to_be_bytes()[..], &named, &sum].concat()
    };
    let mut state = 7u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
    .take(60_000)
    .collect();
    let head = [0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0];
    let chunks = [chunk(b"IHDR", &head), chunk(b"IDAT", &noise), chunk(b"IEND", &[])].concat();
    [b"\x89PNG\r\n\x1a\n", &chunks[..]].concat()
}
