//! Taking findings out of a body that is there as a whole.
//!
//! Invariants: the length stays; a JSON text stays one; base64 and digits stay decodable; no byte of an opaque region is
//! changed; what comes out has no finding that acts. Where one of these cannot be kept there is an error instead of a body.

use crate::detect::Detectors;
use crate::finding::{Class, Encoding, Finding, Part};
use crate::opaque::Region;
use serde::de::IgnoredAny;
use std::sync::Arc;

/// Why a body cannot be made safe by rewriting; the request has to be refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the value that rule {rule:?} found cannot be taken out of the body: {reason}")]
pub struct RedactionUnsafe {
    /// Whose finding it is about.
    pub rule: Arc<str>,
    /// Why.
    pub reason: &'static str,
}

impl Detectors {
    /// The body without the values of the findings that act. The findings are those of [`Self::scan`] for this body; one
    /// whose class the caller has lowered stays in it.
    pub fn redact(
        self: &Arc<Self>,
        host: &str,
        body: &[u8],
        findings: &[Finding],
        regions: &[Region],
    ) -> Result<Vec<u8>, RedactionUnsafe> {
        let mut out = body.to_vec();
        let acting: Vec<&Finding> = findings.iter().filter(|finding| finding.class >= Class::Act).collect();
        for finding in &acting {
            let refuse = |reason| Err(RedactionUnsafe { rule: finding.rule.clone(), reason });
            let overlaps =
                |region: &Region| region.range.start < finding.end && finding.start < region.range.end;
            if finding.class == Class::Trip {
                return refuse("it is a canary");
            }
            if regions.iter().any(overlaps) {
                return refuse("it stands in a region that must stay as it is");
            }
            let Some(filler) = filler(finding, body) else { return refuse("it is split or compressed") };
            let Some(place) = out.get_mut(finding.start..finding.end) else {
                return refuse("its place is not in the body");
            };
            for (byte, with) in place.iter_mut().zip(filler.iter().cycle()) {
                *byte = *with;
            }
        }
        let Some(first) = acting.first() else { return Ok(out) };
        let refuse = |rule: &Arc<str>, reason| Err(RedactionUnsafe { rule: rule.clone(), reason });
        if is_json(body) && !is_json(&out) {
            return refuse(&first.rule, "the body would not be JSON any more");
        }
        let stays = |left: &Finding| {
            let same = |finding: &&Finding| finding.rule == left.rule && finding.hash == left.hash;
            findings.iter().find(same).is_some_and(|finding| finding.class < Class::Act)
        };
        let left = self.scan(Part::Body, host, &out);
        match left.iter().find(|finding| finding.class >= Class::Act && !stays(finding)) {
            Some(left) => refuse(&left.rule, "something is left of it"),
            None => Ok(out),
        }
    }
}

/// What a value is overwritten with, so that what is around it can still be decoded.
fn filler(finding: &Finding, body: &[u8]) -> Option<&'static [u8]> {
    let value = body.get(finding.start..finding.end).unwrap_or_default();
    let layers = finding.encodings.iter().filter(|encoding| {
        !matches!(encoding, Encoding::Json | Encoding::Escaped | Encoding::Unicode | Encoding::Reversed)
    });
    match layers.collect::<Vec<_>>().as_slice() {
        // A number of a JSON text may stand without quotes.
        [] if value.iter().all(u8::is_ascii_digit) => Some(b"1"),
        [] => Some(b"*"),
        // Asterisks, as each encoding spells them.
        [Encoding::Base64, ..] => Some(b"Kioq"),
        [Encoding::Hex, ..] => Some(b"2a"),
        [Encoding::Base32, ..] => Some(b"FIVCUKRK"),
        [Encoding::Utf16] => Some(b"*\0"),
        _ => None,
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
