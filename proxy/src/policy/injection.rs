//! Line ends that are hidden in a head: whoever decodes them reads a header, or a request, that nobody has judged.

use http::HeaderMap;
use hudson_schema::{Refusal, RefusalCode};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// So often a text is decoded: who reads it may do so more than once.
const MAX_DECODE: usize = 5;

/// Refuses a head in which an encoded line end begins a header or another request.
///
/// A query and a header may hold text of several lines: a line end counts with what looks like a header or a request line
/// behind it, or with an empty line. A path with a line end was refused when it was read.
pub fn header_injection(query: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
    let in_query = query.is_some_and(|query| injects(&decoded(query.as_bytes())));
    let in_header = headers
        .iter()
        .find(|(_, value)| value.as_bytes().contains(&b'%') && injects(&decoded(value.as_bytes())));
    let place = match (in_query, in_header) {
        (true, _) => "query".to_owned(),
        (_, Some((name, _))) => format!("header {name}"),
        _ => return Ok(()),
    };
    let message =
        format!("DLP: the {place} hides a line end that begins a header or a request (CRLF injection).");
    Err(Refusal::new(RefusalCode::DlpBlocked, message))
}

/// The text with all that is encoded undone, also what is encoded several times.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_DECODE {
        let once = percent_decode(&text).collect::<Vec<u8>>();
        if once.len() == text.len() {
            break;
        }
        text = Cow::Owned(once);
    }
    text
}

/// Whether behind a line end stands a header, a request line, or nothing.
fn injects(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        rest = rest.get(at + 2..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\r').next().unwrap_or_default();
        if (line.is_empty() && !rest.is_empty()) || is_header(line) || is_request(line) {
            return true;
        }
    }
    false
}

/// A field name and a colon (RFC 9112 section 5), of a header that means something to who reads it.
fn is_header(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default().to_ascii_lowercase();
    let known: [&[u8]; 16] = [
        b"host",
        b"set-cookie",
        b"cookie",
        b"location",
        b"authorization",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"connection",
        b"proxy-authorization",
        b"refresh",
        b"link",
        b"origin",
        b"referer",
        b"access-control-allow-origin",
        b"content-security-policy",
    ];
    known.contains(&&*name) || (name.starts_with(b"x-") && name.len() > 2 && is_token(&name))
}

fn is_token(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_request(line: &[u8]) -> bool {
    memchr::memmem::find(line, b" HTTP/1.").is_some() || line.starts_with(b"HTTP/1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: Option<&str>, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        header_injection(query, &map).is_err()
    }

    #[test]
    fn an_encoded_line_end_that_begins_something_is_refused() {
        assert!(refused(Some("q=x%0d%0aSet-Cookie:%20a=b"), &[]));
        assert!(refused(Some("q=x%250d%250aX-Injected:1"), &[]), "encoded twice");
        assert!(refused(Some("q=x%0d%0a%0d%0aGET%20/%20HTTP/1.1"), &[]));
        assert!(refused(Some("q=x%0D%0AGET%20/b%20HTTP/1.1%0D%0A"), &[]));
        assert!(refused(None, &[("x-name", "a%0d%0aTransfer-Encoding: chunked")]));
    }

    #[test]
    fn text_of_several_lines_passes() {
        assert!(!refused(Some("body=Hello%0D%0Asee%20you"), &[]));
        assert!(!refused(Some("body=Dear%20all%3A%0D%0Anote%3A%20tomorrow"), &[]));
        assert!(!refused(Some("q=%0A"), &[("x-note", "100%")]));
    }
}
