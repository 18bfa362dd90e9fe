//! The scanner, its decoder and its redactor, by their public face.

use hudson_dlp::{
    Class, Detectors, Finding, Fragments, HashKey, KnownValue, Part, Policy, Scanner, SealedSet, Transport,
    naive_injection_detection, regions,
};
use secrecy::SecretString;
use std::sync::{Arc, OnceLock};

/// A value that the scanner knows.
const KNOWN: &str = "hk-Zr8Qw5Tn2Vb9Lm4Xc7Kd";
/// Bytes that a body may decode to.
const LIMIT: usize = 8 << 20;

/// What is found in a part that comes in pieces of `size`; all places are in the part.
pub fn scan(bytes: &[u8], size: usize) -> Vec<Finding> {
    let mut scanner = Scanner::new(Arc::clone(detectors()), Part::Body, "host.invalid");
    let mut found: Vec<Finding> = bytes.chunks(size).flat_map(|piece| scanner.feed(piece)).collect();
    found.extend(scanner.finish());
    for finding in &found {
        assert!(finding.start <= finding.end && finding.end <= bytes.len(), "{finding:?}");
        assert!(!format!("{finding:?}").contains(KNOWN));
    }
    detectors().scan_joined("host.invalid", bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        detectors().scan_target("host.invalid", text);
        detectors().scan_host(text);
    }
    naive_injection_detection(bytes);
    found
}

/// What a body decodes to, as far as it can be decoded, in pieces of `size`; the first byte names the encoding.
pub fn decode(which: u8, body: &[u8], size: usize) -> Vec<u8> {
    let encoding = ["gzip", "deflate", "br", "zstd", "gzip, br", "identity"][usize::from(which) % 6];
    let mut transport = Transport::with_limit(encoding, LIMIT).expect("a known encoding");
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        if transport.feed(piece, |bytes| out.extend_from_slice(bytes)).is_err() {
            return out;
        }
    }
    let _ = transport.finish(|bytes| out.extend_from_slice(bytes));
    assert!(out.len() <= LIMIT.max(body.len()));
    out
}

/// A body that can be redacted keeps its length, stays JSON if it was, and has nothing left to act on.
pub fn redact(body: &[u8]) {
    let findings = detectors().scan(Part::Body, "host.invalid", body);
    let regions = regions(body, |value| SealedSet::new(HashKey::new([5; 32]), 10).contains(value));
    let Ok(out) = detectors().redact("host.invalid", body, &findings, &regions) else { return };
    assert_eq!(out.len(), body.len());
    for region in &regions {
        assert_eq!(out[region.range.clone()], body[region.range.clone()]);
    }
    let left = detectors().scan(Part::Body, "host.invalid", &out);
    assert!(left.iter().all(|finding| finding.class < Class::Act), "{left:?}");
}

/// Messages that are parted by a zero byte go to one destination, a second apart: no finding has a place outside of its
/// message, and a ring that saw nothing but one message says nothing.
pub fn fragments(bytes: &[u8]) {
    let ring = || Fragments::new(Arc::clone(detectors()), Part::Message, "host.invalid", 20_000);
    let mut all = ring();
    for (second, message) in bytes.split(|byte| *byte == 0).enumerate() {
        for finding in all.push(second as u64 * 1000, message) {
            assert!(finding.start <= finding.end && finding.end <= message.len(), "{finding:?}");
            assert!(finding.class >= Class::Act && !format!("{finding:?}{all:?}").contains(KNOWN));
        }
        assert!(ring().push(0, message).is_empty());
    }
}

fn detectors() -> &'static Arc<Detectors> {
    static DETECTORS: OnceLock<Arc<Detectors>> = OnceLock::new();
    DETECTORS.get_or_init(|| {
        let mut policy = Policy::builtin(HashKey::new([5; 32])).expect("our own rules");
        policy.known = vec![KnownValue::secret("KNOWN", SecretString::from(KNOWN.to_owned()))];
        Arc::new(Detectors::new(policy).expect("our own rules"))
    })
}
