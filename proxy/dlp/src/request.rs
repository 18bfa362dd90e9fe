//! The head of a request, and values that are put together only by who reads them.
//!
//! A value may be split over the parameters of a query, over headers, over the strings of a JSON text or over the labels of
//! a host's name. The pieces are joined and looked at again; what is found counts only when it takes more than one piece, and
//! begins and ends with one unless it is known. Offsets are then those of the pieces put together.

use crate::detect::Detectors;
use crate::detect::scan::Pass;
use crate::finding::{Class, Confidence, Encoding, Finding, Part, Preview, Severity};
use crate::known::Pieces;
use crate::scanner::distinct;
use crate::structure::{locate_target, string_end};
use crate::view::{Frame, Map, escape};
use std::sync::Arc;

/// Pieces that are joined at most.
const PIECES: usize = 200;
/// Bytes of a body whose strings are joined.
const JOINED: usize = 64 << 10;
/// Bytes of pieces that are looked at together.
const REACH: usize = 512;
/// Bytes of text that a label has to hide to be told from a name.
const HIDDEN: usize = 10;

/// Bytes of text that one of several labels has to hide.
const SHORT: usize = 5;
/// Letters of base32 that hold text in front and anything behind it.
const BASE32: usize = 16;
/// Bytes of that text.
const BEGINNING: usize = 6;
/// Labels of one length that nobody names hosts by.
const CHUNKS: usize = 4;
/// Letters of such a label.
const CHUNK: usize = 8;
/// Percent of percent of percent.
const NESTED: &[u8] = b"%2525";

/// A request's head, as it would be sent.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The host of the route, never what a header says.
    pub host: &'a str,
    /// The path and query.
    pub target: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl Detectors {
    /// All findings in the head of a request: host, target, headers, and what their pieces make together.
    pub fn scan_head(self: &Arc<Self>, head: &Head<'_>) -> Vec<Finding> {
        let mut pieces = Pieces::default();
        let mut found = self.scan_host(head.host);
        found.extend(self.target(head.host, head.target, &mut pieces));
        let mut values = Vec::new();
        for (name, value) in head.headers {
            let line = [name.as_bytes(), b": ", value].concat();
            let part = Part::Header((*name).to_owned());
            let mut findings = self.look(&part, head.host, &line, &mut pieces);
            let front = name.len() + 2;
            for finding in &mut findings {
                finding.start = finding.start.saturating_sub(front);
                finding.end = finding.end.saturating_sub(front);
            }
            found.extend(findings);
            values.push(value.to_vec());
        }
        let part = Part::Header("*".to_owned());
        found.extend(self.joined(&part, head.host, &values));
        for finding in pieces.findings(self, &part, head.host) {
            if !found.iter().any(|other| other.hash == finding.hash) {
                found.push(finding);
            }
        }
        found
    }

    /// Findings in a host's name: what its labels say, alone, together and decoded.
    pub fn scan_host(&self, host: &str) -> Vec<Finding> {
        let mut found = self.scan_whole(&Part::Host, host, host.as_bytes());
        let labels: Vec<Vec<u8>> = host.split('.').map(|label| label.as_bytes().to_vec()).collect();
        found.extend(self.joined(&Part::Host, host, &labels));
        // The registered name is not the sender's to fill.
        let own = labels.len().saturating_sub(2);
        let text: Vec<u8> = labels.iter().take(own).flatten().copied().collect();
        let own = || labels.iter().take(own);
        // Labels that are text each, and long enough together.
        let several: Vec<(Vec<u8>, Encoding)> = own().filter_map(|label| hidden(label, SHORT)).collect();
        // Two labels of hexadecimal digits are not both text by chance.
        let sure = several.iter().filter(|(_, encoding)| *encoding == Encoding::Hex).count() > 1;
        let each: Vec<u8> = several.into_iter().flat_map(|(bytes, _)| bytes).collect();
        let each = (each.len() >= HIDDEN).then_some((each, Encoding::Hex));
        let one = own().chain([&text]).find_map(|label| hidden(label, HIDDEN));
        if let Some((hidden, encoding)) = one.or(each) {
            let sure = sure || hidden.len() >= 2 * HIDDEN - 4;
            found.push(self.hidden_label("encoded-host-label", host, &hidden, sure, vec![encoding]));
        } else if let Some(hidden) = own().find_map(|label| text_in_front(label)) {
            found.push(self.hidden_label("encoded-host-label", host, &hidden, true, vec![Encoding::Base32]));
        }
        let labels: Vec<&[u8]> = own().map(Vec::as_slice).collect();
        if let Some(chunks) = labels.chunk_by(|one, next| one.len() == next.len()).find(|row| are_chunks(row))
        {
            let text = chunks.concat();
            found.push(self.hidden_label("chunked-host-labels", host, &text, true, vec![Encoding::Split]));
        }
        distinct(found)
    }

    /// Findings in a path and query: each as it stands, decoded, and the values of the query together.
    pub fn scan_target(&self, host: &str, target: &str) -> Vec<Finding> {
        self.target(host, target, &mut Pieces::default())
    }

    fn target(&self, host: &str, target: &str, pieces: &mut Pieces) -> Vec<Finding> {
        let mut found = self.look(&Part::Target, host, target.as_bytes(), pieces);
        for finding in &mut found {
            finding.location = self.told(locate_target(target.as_bytes(), finding.start));
        }
        found.extend(nested(target.as_bytes()).map(|(start, end)| {
            let value = target.as_bytes().get(start..end).unwrap_or_default();
            let encodings = vec![Encoding::Escaped];
            let finding = self.hidden_label("nested-percent-escape", target, value, true, encodings);
            let location = self.told(locate_target(target.as_bytes(), start));
            Finding { part: Part::Target, start, end, location, ..finding }
        }));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let parts: Vec<Vec<u8>> = query.map(|value| escape::undo(value.as_bytes()).0).collect();
        found.extend(self.joined(&Part::Target, host, &parts));
        let segments: Vec<Vec<u8>> =
            path.split('/').map(|segment| escape::undo(segment.as_bytes()).0).collect();
        found.extend(self.joined(&Part::Target, host, &segments));
        // Separators inside a value hide it from every other view.
        for part in parts.iter().chain(&segments) {
            let bare: Vec<u8> = part.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect();
            if bare.len() < part.len() && bare.len() >= HIDDEN {
                found.extend(self.bare(&Part::Target, host, &bare, target.len()));
            }
        }
        distinct(found)
    }

    /// What the strings of a JSON text, or the values of a form, make together. For bodies that are there as a whole.
    pub fn scan_joined(&self, host: &str, body: &[u8]) -> Vec<Finding> {
        if body.len() > JOINED {
            return Vec::new();
        }
        let pieces: Vec<Vec<u8>> = match body.trim_ascii_start().first() {
            Some(b'{' | b'[') => strings(body),
            _ => {
                let pairs = body.split(|byte| matches!(byte, b'&' | b'\n'));
                pairs
                    .map(|pair| escape::undo(pair.rsplit(|byte| *byte == b'=').next().unwrap_or_default()).0)
                    .collect()
            }
        };
        self.joined(&Part::Body, host, &pieces)
    }

    /// A part that is there as a whole, without its streaming.
    pub(crate) fn scan_whole(&self, part: &Part, host: &str, text: &[u8]) -> Vec<Finding> {
        self.look(part, host, text, &mut Pieces::default())
    }

    /// The same, and the pieces of known values that were met.
    fn look(&self, part: &Part, host: &str, text: &[u8], pieces: &mut Pieces) -> Vec<Finding> {
        let mut pass = Pass::new(self, part, host, text.len());
        pass.view(text, &Frame::root(0));
        pieces.merge(&pass.pieces);
        distinct(pass.findings)
    }

    /// Looks at what the pieces make from each of them on.
    fn joined(&self, part: &Part, host: &str, pieces: &[Vec<u8>]) -> Vec<Finding> {
        let pieces: Vec<&Vec<u8>> = pieces.iter().filter(|piece| !piece.is_empty()).take(PIECES).collect();
        let mut found = Vec::new();
        let mut front = 0;
        for (first, piece) in pieces.iter().enumerate() {
            let (mut text, mut borders) = (Vec::new(), Vec::new());
            for piece in pieces.iter().skip(first) {
                text.extend_from_slice(piece);
                borders.push(text.len());
                if text.len() > REACH {
                    break;
                }
            }
            if borders.len() > 1 {
                let mut pass = Pass::new(self, part, host, text.len());
                let frame =
                    Frame { map: Map::Shift(0), encoding: Some(Encoding::Split), parent: None, depth: 1 };
                pass.borders = borders.clone();
                pass.view(&text, &frame);
                let spans = |finding: &Finding| {
                    let known = finding.confidence == Confidence::Confirmed;
                    let whole = finding.start == 0 && (known || borders.contains(&finding.end));
                    let starts = finding.start < piece.len() && finding.end > piece.len();
                    starts && (known || whole) && finding.class >= Class::Act
                };
                let spanning: Vec<Finding> = pass.findings.into_iter().filter(spans).collect();
                // A token that is whole in one piece is not made another by what follows.
                let alone = if spanning.is_empty() { Vec::new() } else { self.scan_whole(part, host, piece) };
                let whole = |finding: &Finding| {
                    let same = |other: &&Finding| match finding.is_known() {
                        true => other.hash == finding.hash,
                        false => other.rule == finding.rule && other.class >= Class::Act,
                    };
                    alone.iter().filter(same).any(|other| other.end > finding.start)
                };
                let spanning = spanning.into_iter().filter(|finding| !whole(finding));
                found.extend(spanning.map(|finding| Finding {
                    start: finding.start + front,
                    end: finding.end + front,
                    ..finding
                }));
            }
            front += piece.len();
        }
        distinct(found)
    }

    /// A value without its separators: prefixes and known values alone are looked for.
    fn bare(&self, part: &Part, host: &str, text: &[u8], length: usize) -> Vec<Finding> {
        let mut pass = Pass::new(self, part, host, text.len());
        let frame =
            Frame { map: Map::Range(0, length), encoding: Some(Encoding::Split), parent: None, depth: 1 };
        pass.view(text, &frame);
        pass.findings.retain(|finding| finding.class >= Class::Act);
        pass.findings
    }

    fn hidden_label(
        &self,
        rule: &str,
        host: &str,
        hidden: &[u8],
        sure: bool,
        encodings: Vec<Encoding>,
    ) -> Finding {
        Finding {
            rule: rule.into(),
            confidence: if sure { Confidence::Likely } else { Confidence::Possible },
            severity: Severity::Medium,
            class: if sure { Class::Act } else { Class::Warn },
            lowered: None,
            part: Part::Host,
            location: None,
            encodings,
            start: 0,
            end: host.len(),
            hash: self.key.hash(hidden),
            preview: Preview::of(hidden),
            validated: None,
            detail: None,
        }
    }
}

/// The text that a label hides, if it hides one.
fn hidden(label: &[u8], shortest: usize) -> Option<(Vec<u8>, Encoding)> {
    let text = |bytes: &[u8]| {
        bytes.len() >= shortest && bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    };
    let hexadecimal = label.len().is_multiple_of(2) && label.iter().all(u8::is_ascii_hexdigit);
    let candidates = [
        hexadecimal.then(|| (crate::view::runs::from_hex(label), Encoding::Hex)),
        crate::validate::base64(label).map(|bytes| (bytes, Encoding::Base64)),
        crate::view::runs::from_base32(label).map(|bytes| (bytes, Encoding::Base32)),
    ];
    candidates.into_iter().flatten().find(|(bytes, _)| text(bytes))
}

/// The text with which a label of base32 begins, where what follows is none. A name has no digits, and letters with digits
/// are seldom text by chance.
fn text_in_front(label: &[u8]) -> Option<Vec<u8>> {
    let digits = label.iter().filter(|byte| byte.is_ascii_digit()).count();
    if label.len() < BASE32 || digits < 2 || label.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let bytes = crate::view::runs::from_base32(label)?;
    let front = bytes.get(..BEGINNING)?;
    let letters = front.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    (letters + 2 >= BEGINNING && front.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
        .then(|| bytes.clone())
}

/// Whether labels of one length are pieces of something and no names.
fn are_chunks(labels: &[&[u8]]) -> bool {
    labels.len() >= CHUNKS && labels.first().is_some_and(|label| label.len() >= CHUNK)
}

/// A letter or digit whose escape was escaped twice or more: nobody who writes an address escapes a letter, and whoever does
/// so again wants it not to be read.
fn nested(target: &[u8]) -> Option<(usize, usize)> {
    memchr::memmem::find_iter(target, NESTED).find_map(|start| {
        let rest = target.get(start + 1..)?;
        let percents = rest.as_chunks::<2>().0.iter().take_while(|pair| *pair == b"25").count();
        let code = rest.get(2 * percents..2 * percents + 2)?;
        let code = u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?;
        code.is_ascii_alphanumeric().then_some((start, start + 1 + 2 * percents + 2))
    })
}

/// The string values of a JSON text, in order, without names.
fn strings(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = 0;
    let (mut flat, mut points) = (Vec::new(), Vec::new());
    while let Some(open) = memchr::memchr(b'"', text.get(at..).unwrap_or_default()) {
        let start = at + open + 1;
        let end = string_end(text, start);
        let after = text.get(end + 1..).unwrap_or_default().trim_ascii_start();
        if after.first() != Some(&b':') {
            crate::view::flatten::unescape(text.get(start..end).unwrap_or_default(), &mut flat, &mut points);
            found.push(flat.clone());
        }
        at = end + 1;
    }
    found
}
