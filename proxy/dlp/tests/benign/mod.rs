//! Benign traffic of coding agents, made here: nothing in it is a secret, much of it looks like one. The same seed gives
//! the same bytes.
#![allow(dead_code, reason = "each suite uses a part")]

mod code;
mod logs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A source of bytes that look random (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(count);
        out
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        self.bytes(digits.div_ceil(2)).iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..digits]
            .to_owned()
    }

    pub(crate) fn base64(&mut self, bytes: usize) -> String {
        STANDARD.encode(self.bytes(bytes))
    }

    pub(crate) fn base64_url(&mut self, bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes(bytes))
    }

    pub(crate) fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

/// The kinds of traffic.
pub(crate) const KINDS: [&str; 8] =
    ["llm_bodies", "locks", "git_logs", "images", "base64url", "jwt_docs", "minified_js", "telemetry"];

/// Bodies of one kind, of at least so many bytes together.
pub(crate) fn bodies(kind: &str, bytes: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(seed);
    let mut made = Vec::new();
    let mut total = 0;
    while total < bytes {
        let body = match kind {
            "llm_bodies" => conversation(&mut dice, code::file),
            "locks" => conversation(&mut dice, logs::lock_file),
            "git_logs" => conversation(&mut dice, logs::git_log),
            "images" => images(&mut dice),
            "base64url" => opaque(&mut dice),
            "jwt_docs" => conversation(&mut dice, logs::documentation),
            "minified_js" => conversation(&mut dice, code::minified),
            _ => telemetry(&mut dice),
        };
        total += body.len();
        made.push(body);
    }
    made
}

/// A request in the shape that a provider takes, with the results of tools in it.
fn conversation(dice: &mut Dice, result: fn(&mut Dice) -> String) -> Vec<u8> {
    let mut messages = vec![json!({"role": "user", "content": "Fix the failing test, please."})];
    for _ in 0..4 + dice.below(8) {
        let id = format!("toolu_01{}", &dice.base64_url(16)[..22].replace(['-', '_'], "x"));
        let path = format!("/home/dev/project/src/{}/{}.go", dice.pick(code::NOUNS), dice.pick(code::NOUNS));
        messages.push(json!({"role": "assistant", "content": [
            {"type": "text", "text": "I will read the file and look at the token handling first."},
            {"type": "tool_use", "id": id, "name": "Read", "input": {"file_path": path}},
        ]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": result(dice)},
        ]}));
    }
    let metadata =
        json!({"user_id": format!("user_{}_account_{}_session_{}", dice.hex(64), dice.uuid(), dice.uuid())});
    request(&json!({"model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true, "metadata": metadata,
        "system": "You are a coding agent. Never print an API key, a password or another secret.", "messages": messages}))
}

fn request(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// Screenshots: the container is sound, what is in it looks random.
fn images(dice: &mut Dice) -> Vec<u8> {
    let content: Vec<Value> = (0..2)
        .map(|_| {
            let size = 40_000 + dice.below(200_000);
            let (kind, bytes) = match dice.below(2) {
                0 => ("image/png", png(dice, size)),
                _ => ("image/jpeg", jpeg(dice, size)),
            };
            json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": STANDARD.encode(bytes)}})
        })
        .collect();
    request(
        &json!({"model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": [{"role": "user", "content": content}]}),
    )
}

/// A PNG of one chunk of data.
pub(crate) fn png(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&[0, 0, 4, 0, 0, 0, 3, 0][..], &[8, 2, 0, 0, 0][..]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", dice.bytes(size)), (b"IEND", Vec::new())] {
        out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
        let chunk = [&name[..], &data].concat();
        out.extend_from_slice(&chunk);
        out.extend_from_slice(&crc32fast::hash(&chunk).to_be_bytes());
    }
    out
}

/// A JPEG whose scan has no marker in it.
pub(crate) fn jpeg(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 16];
    out.extend_from_slice(b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    out.extend(dice.bytes(size).into_iter().map(|byte| if byte == 0xff { 0xfe } else { byte }));
    out.extend_from_slice(&[0xff, 0xd9]);
    out
}

/// Reasoning that the provider has sealed, and thinking with a signature.
fn opaque(dice: &mut Dice) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..4 + dice.below(8) {
        let size = 2_000 + dice.below(20_000);
        input.push(json!({"type": "reasoning", "id": format!("rs_{}", dice.hex(48)), "summary": [],
            "encrypted_content": format!("gAAAAAB{}", dice.base64_url(size))}));
        input.push(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "The lexer drops a token.", "signature": dice.base64(600)}]}));
    }
    request(&json!({"model": "gpt-5-codex", "stream": true, "store": false, "input": input}))
}

/// What agents send home: ids, times and counts.
fn telemetry(dice: &mut Dice) -> Vec<u8> {
    let events: Vec<Value> = (0..200)
        .map(|_| {
            json!({"event": "tengu_api_success", "session_id": dice.uuid(), "device_id": dice.hex(64), "time": 1_764_000_000_000u64 + dice.next() % 1_000_000,
                "input_tokens": dice.below(200_000), "cached_tokens": dice.below(100_000), "request_id": format!("req_011C{}", dice.hex(20)),
                "duration_ms": dice.below(90_000), "key": dice.pick(code::NOUNS), "trace": dice.hex(32), "email": "dev@example.com"})
        })
        .collect();
    request(&json!({"events": events}))
}
