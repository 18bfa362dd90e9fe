//! Paths in the one form that policy compares and upstream receives: RFC 3986 section 6.2.2, unreserved characters
//! decoded, escapes in upper case, dot segments resolved. Normalising twice changes nothing.
//!
//! A path that a server could read differently from us is refused. One such form is too common to refuse, `%2F` inside
//! a segment (npm's scoped packages, GitLab's project names): it is kept as it is, and no path condition ever matches
//! it, so that it passes only where every path of the host does.

use percent_encoding::percent_decode_str;
use std::fmt::Write as _;

/// What an OPTIONS request about a host as a whole asks for (RFC 9112 section 3.2.4); it names no path.
pub const ASTERISK: &str = "*";

/// Why a path is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with `/`.
    #[error("it does not begin with '/'")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("'%' is not followed by two hexadecimal digits")]
    BadEscape,
    /// A control character, NUL or a space, plain or encoded.
    #[error("it holds a control character")]
    Control,
    /// A character that has to be encoded.
    #[error("it holds a character that has to be percent-encoded")]
    NotEncoded,
    /// `\`, plain or encoded: a slash for some servers.
    #[error("it holds a backslash")]
    Backslash,
    /// `;`: some servers cut the segment there.
    #[error("it holds ';', plain or encoded")]
    Semicolon,
    /// `//`: one slash for some servers.
    #[error("it holds an empty segment ('//')")]
    EmptySegment,
    /// `%2e%2e` or `..%2f`: a step up for some servers.
    #[error("it hides a dot segment in an escape")]
    HiddenDots,
    /// `%252f`: decoded twice by some servers.
    #[error("it is encoded twice")]
    EncodedTwice,
    /// Escapes that are not UTF-8, overlong forms among them: `%c0%ae` is a dot for some servers.
    #[error("its escapes are not UTF-8")]
    NotUtf8,
    /// More steps up than there are segments.
    #[error("its dot segments lead above the root")]
    AboveRoot,
}

/// The normal form of a path, without its query.
pub fn normalise_path(raw: &str) -> Result<String, PathFault> {
    let inside = raw.strip_prefix('/').ok_or(PathFault::NotAbsolute)?;
    let mut kept: Vec<String> = Vec::new();
    let mut segments = inside.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if !last => return Err(PathFault::EmptySegment),
            "." | ".." => {
                if segment == ".." {
                    kept.pop().ok_or(PathFault::AboveRoot)?;
                }
                // A dot segment at the end names a folder.
                if last {
                    kept.push(String::new());
                }
            }
            segment => kept.push(normalise_segment(segment)?),
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

/// Whether a normalised path could still be read in a second way.
pub fn is_ambiguous(path: &str) -> bool {
    path.contains("%2F")
}

fn normalise_segment(segment: &str) -> Result<String, PathFault> {
    let mut out = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = hex(bytes.next())? << 4 | hex(bytes.next())?;
                push_escaped(&mut out, escaped)?;
            }
            b'\\' => return Err(PathFault::Backslash),
            b';' => return Err(PathFault::Semicolon),
            0..=b' ' | 0x7f => return Err(PathFault::Control),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | b'?' | 0x80.. => {
                return Err(PathFault::NotEncoded);
            }
            byte => out.push(char::from(byte)),
        }
    }
    // What a server sees that decodes `%2F` before it looks for dot segments.
    let hidden = out.split("%2F").any(|part| matches!(part, "." | ".."));
    if hidden {
        return Err(PathFault::HiddenDots);
    }
    if twice_encoded(&out) {
        return Err(PathFault::EncodedTwice);
    }
    match percent_decode_str(&out).decode_utf8() {
        Ok(_) => Ok(out),
        Err(_) => Err(PathFault::NotUtf8),
    }
}

fn hex(digit: Option<u8>) -> Result<u8, PathFault> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(PathFault::BadEscape),
    }
}

fn push_escaped(out: &mut String, byte: u8) -> Result<(), PathFault> {
    match byte {
        0..0x20 | 0x7f => return Err(PathFault::Control),
        b'\\' => return Err(PathFault::Backslash),
        b';' => return Err(PathFault::Semicolon),
        b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
        byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
        byte => {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Ok(())
}

/// Whether an encoded percent sign stands in front of two hexadecimal digits.
fn twice_encoded(segment: &str) -> bool {
    segment.split("%25").skip(1).any(|rest| {
        let mut digits = rest.bytes();
        digits.next().is_some_and(|digit| digit.is_ascii_hexdigit())
            && digits.next().is_some_and(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_path_has_one_form() {
        for (raw, normal) in [
            ("/", "/"),
            ("/v1/messages", "/v1/messages"),
            ("/v1/messages/", "/v1/messages/"),
            ("/v1/./messages", "/v1/messages"),
            ("/v1/x/../messages", "/v1/messages"),
            ("/v1/.", "/v1/"),
            ("/v1/x/..", "/v1/"),
            ("/..x/...", "/..x/..."),
            ("/%76%31", "/v1"),
            ("/a%2db%7Ec%5fd", "/a-b~c_d"),
            ("/file%2ehtml", "/file.html"),
            ("/a%2bb%C3%bc", "/a%2Bb%C3%BC"),
            ("/a%20b", "/a%20b"),
            ("/100%25", "/100%25"),
            ("/100%25x1", "/100%25x1"),
            ("/@types%2fnode", "/@types%2Fnode"),
            ("/v1beta/models/gemini:generateContent", "/v1beta/models/gemini:generateContent"),
            ("/a!$&'()*+,=:@[]", "/a!$&'()*+,=:@[]"),
        ] {
            assert_eq!(normalise_path(raw).as_deref(), Ok(normal), "{raw}");
        }
    }

    #[test]
    fn what_a_server_could_read_differently_is_refused() {
        for (raw, fault) in [
            ("", PathFault::NotAbsolute),
            ("v1", PathFault::NotAbsolute),
            ("*", PathFault::NotAbsolute),
            ("http://host/", PathFault::NotAbsolute),
            ("//v1", PathFault::EmptySegment),
            ("/v1//messages", PathFault::EmptySegment),
            ("/..", PathFault::AboveRoot),
            ("/a/../../b", PathFault::AboveRoot),
            ("/a/%2e%2e/b", PathFault::HiddenDots),
            ("/a/.%2E/b", PathFault::HiddenDots),
            ("/a/%2e", PathFault::HiddenDots),
            ("/a/..%2fb", PathFault::HiddenDots),
            ("/a%2f..%2Fb", PathFault::HiddenDots),
            ("/a%2f%2e%2e", PathFault::HiddenDots),
            ("/a%252fb", PathFault::EncodedTwice),
            ("/%25%32%65", PathFault::EncodedTwice),
            ("/%2525", PathFault::EncodedTwice),
            ("/a;b", PathFault::Semicolon),
            ("/..;/admin", PathFault::Semicolon),
            ("/a%3bb", PathFault::Semicolon),
            ("/a\\b", PathFault::Backslash),
            ("/a%5cb", PathFault::Backslash),
            ("/a%00", PathFault::Control),
            ("/a%0d%0aHost: x", PathFault::Control),
            ("/a\0", PathFault::Control),
            ("/a b", PathFault::Control),
            ("/a%7f", PathFault::Control),
            ("/a%", PathFault::BadEscape),
            ("/a%2", PathFault::BadEscape),
            ("/a%zz", PathFault::BadEscape),
            ("/a%u002f", PathFault::BadEscape),
            ("/%c0%ae%c0%ae/b", PathFault::NotUtf8),
            ("/a%c0%afb", PathFault::NotUtf8),
            ("/a%e0%80%af", PathFault::NotUtf8),
            ("/a%fc", PathFault::NotUtf8),
            ("/%c3/%bc", PathFault::NotUtf8),
            ("/a%09", PathFault::Control),
            ("/a\tb", PathFault::Control),
            ("/ü", PathFault::NotEncoded),
            ("/a?b", PathFault::NotEncoded),
            ("/a#b", PathFault::NotEncoded),
        ] {
            assert_eq!(normalise_path(raw), Err(fault), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in "/([a-z./]|%2[0-9a-fA-F]|%[0-9a-f]{2}|[.]{1,2}/){0,12}|\\PC{0,30}") {
            if let Ok(normal) = normalise_path(&raw) {
                let again = normalise_path(&normal);
                prop_assert_eq!(again.as_deref(), Ok(normal.as_str()));
                prop_assert!(normal.starts_with('/') && !normal.contains("//"));
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
                prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b';'));
            }
        }
    }
}
