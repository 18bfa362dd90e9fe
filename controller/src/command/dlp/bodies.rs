//! Requests to a model as they are on the wire, made up: the same every time, and without anything to find.

/// Bytes of a line of code or prose, more or less.
const LINE: usize = 64;
/// Words of which code and prose are made.
const WORDS: [&str; 32] = [
    "return", "value", "let", "the", "request", "error", "of", "self", "config", "match", "token", "and",
    "stream", "index", "key", "is", "buffer", "path", "async", "to", "result", "for", "user", "string",
    "with", "session", "client", "a", "parse", "None", "header", "fn",
];

/// A request whose messages hold so many bytes of code and prose.
pub(super) fn request(bytes: usize, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut body = r#"{"model":"model-1","max_tokens":4096,"messages":["#.to_owned();
    let mut first = true;
    while body.len() < bytes {
        let comma = if first { "" } else { "," };
        first = false;
        body += comma;
        body += r#"{"role":"user","content":[{"type":"text","text":""#;
        let until = (body.len() + 4096).min(bytes);
        while body.len() < until {
            line(&mut body, &mut numbers);
        }
        body += r#""}]}"#;
    }
    body += "]}";
    body.into_bytes()
}

/// A line of words, with what code has between them, and a hash here and there.
fn line(body: &mut String, numbers: &mut Numbers) {
    let end = body.len() + LINE;
    while body.len() < end {
        let number = numbers.next();
        let index = usize::try_from(number % 32).unwrap_or_default();
        body.push_str(WORDS.get(index).copied().unwrap_or_default());
        body.push_str(match number >> 8 & 15 {
            0 => " = ",
            1 => "(",
            2 => ") ",
            3 => ".",
            4 => "\\\"",
            _ => " ",
        });
    }
    if numbers.next().is_multiple_of(16) {
        body.push_str(&format!("commit {:016x}{:016x}", numbers.next(), numbers.next()));
    }
    body.push_str("\\n");
}

/// A sequence of numbers that looks random (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_request_of_that_size_with_nothing_in_it() {
        let body = request(100_000, 1);
        assert!((100_000..102_000).contains(&body.len()), "{}", body.len());
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(read["messages"].as_array().unwrap().len() > 20);
        assert_eq!(body, request(100_000, 1));
        let policy = hudson_dlp::Policy::builtin(hudson_dlp::HashKey::new([0; 32])).unwrap();
        let detectors = std::sync::Arc::new(hudson_dlp::Detectors::new(policy).unwrap());
        let found = detectors.scan(hudson_dlp::Part::Body, "h", &body);
        assert!(found.iter().all(|finding| finding.class < hudson_dlp::Class::Act), "{found:?}");
    }
}
