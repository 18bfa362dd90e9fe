//! What model providers have sealed (signatures of thinking, encrypted reasoning): noted as it comes in their answers, so
//! that it is known when it goes back with the next request, and stays as it is.
//!
//! Invariants: an answer is noted line by line, since no JSON string goes over the end of one; at most [`LINE`] bytes are
//! kept, and a longer line is skipped. Nothing is hashed where no such member stands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hudson_dlp::{HashKey, Region, SealedSet};
use memchr::memmem::Finder;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Values that are remembered, over all providers.
const CAPACITY: usize = 16_384;
/// The longest line that is kept, in bytes.
const LINE: usize = 4 << 20;
/// Values shorter than this prove nothing.
const SHORTEST: usize = 64;

/// Members that may hold a sealed value; in `bytes` Bedrock wraps the events of others.
const MEMBERS: [&[u8]; 7] = [
    b"signature",
    b"thoughtSignature",
    b"thought_signature",
    b"encrypted_content",
    b"encrypted_reasoning",
    b"data",
    BYTES,
];
const BYTES: &[u8] = b"bytes";
/// What the name of one has, so that a text without it is passed over at the speed of memory.
static MARKS: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| [&b"ignature\""[..], b"encrypted_", b"\"data\"", b"\"bytes\""].map(Finder::new));

/// The values that providers have sealed.
pub(crate) struct Sealed {
    key: HashKey,
    set: Mutex<SealedSet>,
}

impl Sealed {
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        // Hashes never leave the process; without randomness they are those of a known key.
        let _ = getrandom::fill(&mut key);
        let key = HashKey::new(key);
        Self { set: Mutex::new(SealedSet::new(key.clone(), CAPACITY)), key }
    }

    /// The parts of a request's body that must stay as they are.
    pub(crate) fn regions(&self, body: &[u8]) -> Vec<Region> {
        // Values may be megabytes long: they are hashed while nobody waits for the set.
        hudson_dlp::regions(body, |value| {
            let hash = self.key.hash(value);
            self.set.lock().unwrap_or_else(PoisonError::into_inner).contains_hash(&hash)
        })
    }

    fn note(&self, member: &[u8]) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).note(member);
    }
}

/// Notes the sealed values of one answer: a JSON body, events, or messages that each end with [`end`](Self::end).
#[derive(Default)]
pub(crate) struct SealedNote {
    /// The line under way.
    line: Vec<u8>,
    /// It was too long.
    skips: bool,
}

impl SealedNote {
    /// Takes the next bytes in clear.
    pub(crate) fn feed(&mut self, clear: &[u8], sealed: &Sealed) {
        let end = memchr::memrchr(b'\n', clear).map_or(0, |last| last + 1);
        let (lines, rest) = clear.split_at(end);
        if !lines.is_empty() {
            // What was kept, or skipped, ends with the first of them.
            let first = match self.line.is_empty() && !self.skips {
                true => 0,
                false => memchr::memchr(b'\n', lines).map_or(0, |first| first + 1),
            };
            let (ends, whole) = lines.split_at(first);
            if !ends.is_empty() {
                self.keep(ends);
                self.end(sealed);
            }
            read(whole, sealed, true);
        }
        self.keep(rest);
    }

    /// Notes what is left; the answer or the message is at its end.
    pub(crate) fn end(&mut self, sealed: &Sealed) {
        read(&self.line, sealed, true);
        // Most lines are short: what one long one took is not kept for all that follow.
        self.line.clear();
        self.line.shrink_to(SHORTEST << 10);
        self.skips = false;
    }

    fn keep(&mut self, part: &[u8]) {
        if self.skips {
            return;
        }
        if self.line.len() + part.len() > LINE {
            self.line = Vec::new();
            self.skips = true;
            return;
        }
        self.line.extend_from_slice(part);
    }
}

/// Notes every member in a text; `wrapped` ones are looked into as well.
fn read(text: &[u8], sealed: &Sealed, wrapped: bool) {
    for at in MARKS.iter().flat_map(|mark| mark.find_iter(text)) {
        let Some((name, value)) = member(text, at).filter(|(_, value)| value.len() >= SHORTEST) else {
            continue;
        };
        if name == BYTES {
            if let (true, Ok(event)) = (wrapped, STANDARD.decode(value)) {
                read(&event, sealed, false);
            }
            continue;
        }
        let noted = match value.contains(&b'\\') {
            // A client writes it as its own JSON library does, which is without needless escapes.
            true => plain(value),
            false => Some([b"\"", value, b"\""].concat()),
        };
        if let Some(value) = noted {
            sealed.note(&[b"\"", name, b"\":", &value].concat());
        }
    }
}

/// The name of the member around a place, and its value, where that is a string.
fn member(text: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let open = memchr::memrchr(b'"', text.get(..=at)?)? + 1;
    let name = text.get(open..)?;
    let name = name.get(..memchr::memchr(b'"', name)?)?;
    let behind = text.get(open + name.len() + 1..)?.trim_ascii_start();
    let value = behind.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    MEMBERS.contains(&name).then_some(())?;
    Some((name, string(value)?))
}

/// The string that a text goes on with, up to its closing quote.
fn string(text: &[u8]) -> Option<&[u8]> {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })?;
    text.get(..end)
}

/// A string of JSON with no more escapes than it needs, in its quotes.
fn plain(value: &[u8]) -> Option<Vec<u8>> {
    let text: String = serde_json::from_slice(&[b"\"", value, b"\""].concat()).ok()?;
    serde_json::to_vec(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_dlp::RegionKind;
    use hudson_meter::{Meter, ResponseHead};
    use hudson_schema::Format;
    use serde_json::{Value, json};
    use std::path::PathBuf;

    fn is_known(sealed: &Sealed, name: &str, value: &str) -> bool {
        let request = json!({"messages": [{"content": [{name: value}]}]}).to_string();
        let regions = sealed.regions(request.as_bytes());
        let whole = |region: &Region| {
            region.kind == RegionKind::Sealed && request.as_bytes()[region.range.clone()] == *value.as_bytes()
        };
        regions.iter().any(whole)
    }

    fn noted(answer: &[u8], chunk: usize) -> Sealed {
        let sealed = Sealed::new();
        let mut note = SealedNote::default();
        for piece in answer.chunks(chunk) {
            note.feed(piece, &sealed);
        }
        note.end(&sealed);
        sealed
    }

    #[test]
    fn a_signature_is_known_again_at_any_chunk() {
        let value = "Eq/+".repeat(40) + "==";
        let event =
            format!("data: {{\"delta\":{{\"type\":\"signature_delta\",\"signature\":\"{value}\"}}}}\n\n");
        let escaped = event.replace('=', "\\u003d").replace('/', "\\/");
        let wrapped = json!({"bytes": STANDARD.encode(event.trim_start_matches("data: "))}).to_string();
        for answer in [event.as_str(), event.trim_end(), &escaped, &wrapped] {
            for chunk in [1, 3, 100, usize::MAX] {
                assert!(
                    is_known(&noted(answer.as_bytes(), chunk), "signature", &value),
                    "{answer} by {chunk}"
                );
            }
        }
    }

    #[test]
    fn what_the_model_only_says_is_not_sealed() {
        let value = "a".repeat(100);
        let said =
            json!({"delta": {"text": format!(r#"{{"signature":"{value}"}}"#), "id": value}}).to_string();
        assert!(!is_known(&noted(said.as_bytes(), usize::MAX), "signature", &value));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        let (first, second) = ("a".repeat(100), "b".repeat(100));
        let mut answer =
            format!("{{\"x\":\"{}\",\"signature\":\"{first}\"}}\n", "x".repeat(LINE)).into_bytes();
        answer.extend_from_slice(format!("{{\"signature\":\"{second}\"}}\n").as_bytes());
        let sealed = noted(&answer, 60_000);
        assert!(!is_known(&sealed, "signature", &first));
        assert!(is_known(&sealed, "signature", &second));
    }

    /// Every sealed value of the recorded answers, as an SDK would take it out of them.
    #[test]
    fn what_recorded_answers_have_sealed_is_known_when_it_goes_back() {
        let folder = std::env::var_os("HUDSON_CORPUS")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")));
        let folder = folder.join("streams");
        if !folder.is_dir() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "no recorded streams in {}",
                folder.display()
            );
            return;
        }
        let mut count = 0;
        for family in ["anthropic", "gemini", "openai-responses"] {
            for file in std::fs::read_dir(folder.join(family)).unwrap().flatten() {
                if file.path().extension().is_none_or(|kind| kind != "body") {
                    continue;
                }
                let body = std::fs::read(file.path()).unwrap();
                let encoding = body.starts_with(&[0x1f, 0x8b]).then_some("gzip");
                for chunk in [1, 1400, usize::MAX] {
                    let (sealed, clear) = tapped(&body, encoding, chunk);
                    let members = sealed_members(&clear);
                    count += members.len();
                    for (name, value) in members {
                        assert!(
                            is_known(&sealed, &name, &value),
                            "{}: {name} by {chunk}",
                            file.path().display()
                        );
                    }
                }
            }
        }
        assert!(count >= 3 * 32, "{count}");
    }

    /// What comes of an answer by the meter's own decoding, and the answer in clear.
    fn tapped(body: &[u8], encoding: Option<&str>, chunk: usize) -> (Sealed, Vec<u8>) {
        let head = ResponseHead { status: 200, content_encoding: encoding, ..ResponseHead::default() };
        let mut meter = Meter::new(Format::Anthropic, &head);
        let (sealed, mut note, mut clear) = (Sealed::new(), SealedNote::default(), Vec::new());
        for piece in body.chunks(chunk) {
            meter.feed_seen(piece, |bytes| {
                clear.extend_from_slice(bytes);
                note.feed(bytes, &sealed);
            });
        }
        note.end(&sealed);
        (sealed, clear)
    }

    fn sealed_members(clear: &[u8]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let whole = serde_json::from_slice::<Value>(clear).ok();
        let lines = clear.split(|byte| *byte == b'\n').filter_map(|line| {
            serde_json::from_slice::<Value>(line.strip_prefix(b"data:").unwrap_or(line)).ok()
        });
        for value in whole.into_iter().chain(lines) {
            walk(&value, &mut found);
        }
        found
    }

    fn walk(value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text)
                            if text.len() >= SHORTEST
                                && ["signature", "encrypted_content", "thoughtSignature", "data"]
                                    .contains(&name.as_str()) =>
                        {
                            found.push((name.clone(), text.clone()));
                        }
                        value => walk(value, found),
                    }
                }
            }
            _ => {}
        }
    }
}
