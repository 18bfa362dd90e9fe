//! A strict reader of `multipart/form-data` (RFC 7578, RFC 2046) over a body that is there whole.
//!
//! The parsers in use are made for streams of bytes, and forgive what another one may read differently: text before the
//! first part, bare line feeds, a boundary inside a line. Invariant: what this reader accepts has one reading; the
//! boundary stands nowhere but between the parts.

use super::RequestError;
use memchr::memmem;

/// Longest boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;
/// Most parts of one form.
const MAX_PARTS: usize = 256;
/// Longest head of a part.
const MAX_HEAD: usize = 8_192;

/// One part of a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    /// Whether it has a file's name.
    pub(super) is_file: bool,
    pub(super) content: &'a [u8],
}

/// Whether a `content-type` says that the body is a form of parts.
pub(super) fn is_multipart(content_type: Option<&str>) -> bool {
    content_type
        .and_then(|kind| kind.trim_start().get(..10))
        .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}

/// The parts of a body, in their order.
pub(super) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, RequestError> {
    let delimiter = format!("--{}", boundary(content_type)?);
    let delimiter = delimiter.as_bytes();
    let mut found = Vec::new();
    let Some(mut at) = body.starts_with(delimiter).then_some(delimiter.len()) else {
        return fail(0, "the first boundary");
    };
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(end) = rest.strip_prefix(b"--") {
            return match end {
                b"" | b"\r\n" => Ok(found),
                _ => fail(at, "nothing behind the last boundary"),
            };
        }
        let Some(rest) = rest.strip_prefix(b"\r\n") else {
            return fail(at, "a line end behind the boundary");
        };
        let start = at + 2;
        let length = match memmem::find(rest, delimiter) {
            Some(next) if next >= 2 && rest.get(next - 2..next) == Some(b"\r\n") => next,
            Some(next) => return fail(start + next, "the boundary between the parts only"),
            None => return fail(body.len(), "the last boundary"),
        };
        if found.len() >= MAX_PARTS {
            return fail(start, "fewer parts");
        }
        found.push(part(rest.get(..length - 2).unwrap_or_default(), start)?);
        at = start + length + delimiter.len();
    }
}

/// The boundary that a `content-type` names.
fn boundary(content_type: &str) -> Result<&str, RequestError> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return fail(0, "multipart/form-data with a boundary in content-type");
    }
    let mut found = None;
    for parameter in parameters.split(';').filter(|parameter| !parameter.trim().is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            return fail(0, "parameters with values in content-type");
        };
        if name.trim().eq_ignore_ascii_case("boundary") {
            let value = value.trim();
            let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if found.replace(plain).is_some() {
                return fail(0, "one boundary in content-type");
            }
        }
    }
    // RFC 2046 allows more; what clients make are letters, digits and these, and nothing that needs an escape.
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    match found {
        Some(found) if (1..=MAX_BOUNDARY).contains(&found.len()) && found.bytes().all(usual) => Ok(found),
        _ => fail(0, "a boundary of up to 70 usual characters in content-type"),
    }
}

fn part(bytes: &[u8], at: usize) -> Result<Part<'_>, RequestError> {
    let Some(end) = memmem::find(bytes.get(..bytes.len().min(MAX_HEAD)).unwrap_or_default(), b"\r\n\r\n")
    else {
        return fail(at, "an empty line behind the head of the part");
    };
    let (head, content) = bytes.split_at_checked(end).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return fail(at, "a head in UTF-8") };
    let mut disposition = None;
    for line in head.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { return fail(at, "headers of the part") };
        // No space before the colon, no folded line, no line end of another kind.
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_graphic())
            || value.contains(['\r', '\n', '\0'])
        {
            return fail(at, "plain headers of the part");
        }
        let encoded = name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["7bit", "8bit", "binary"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain));
        if encoded {
            return fail(at, "a part without a transfer encoding");
        }
        if name.eq_ignore_ascii_case("content-disposition") && disposition.replace(value).is_some() {
            return fail(at, "one content-disposition");
        }
    }
    let Some((name, is_file)) = disposition.and_then(named) else {
        return fail(at, "content-disposition: form-data with one plain name");
    };
    Ok(Part { name, is_file, content: content.get(4..).unwrap_or_default() })
}

/// The name in a `content-disposition`, and whether a file's name is there.
fn named(value: &str) -> Option<(&str, bool)> {
    let mut rest = strip_word(value.trim(), "form-data")?.trim_start();
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        rest = rest.strip_prefix(';')?.trim_start();
        let (key, behind) = rest.split_once('=')?;
        let (text, behind) = match behind.strip_prefix('"') {
            // An escape in here is read in more than one way.
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(';').unwrap_or(behind.len())),
        };
        match key.trim_end() {
            key if key.eq_ignore_ascii_case("name") => {
                if name.replace(text).is_some() || text.contains(['\\', '%']) || text.is_empty() {
                    return None;
                }
            }
            key if key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*") => {
                if text.contains('\\') {
                    return None;
                }
                is_file = true;
            }
            _ => return None,
        }
        rest = behind.trim_start();
    }
    Some((name?, is_file))
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn fail<T>(at: usize, expected: &'static str) -> Result<T, RequestError> {
    Err(RequestError::NotMultipart { at, expected })
}
