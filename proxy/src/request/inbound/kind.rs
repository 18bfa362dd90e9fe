//! Which answers are text: by what they are declared to be, and where that says nothing by how they begin.

use http::{HeaderMap, header};

/// So many bytes of a beginning are looked at.
const BEGINNING: usize = 512;
/// Types of `application/` that are text, beside those that end in `+json` or `+xml`.
const TEXT: &[&str] = &[
    "json",
    "xml",
    "javascript",
    "x-javascript",
    "ecmascript",
    "markdown",
    "yaml",
    "x-yaml",
    "toml",
    "jwt",
    "graphql",
    "sql",
    "x-sh",
    "x-www-form-urlencoded",
    "ld-json",
    "rtf",
];
/// Types that come piece by piece to somebody who waits for each.
const EVENTS: &[&str] = &[
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
    "application/stream+json",
    "multipart/x-mixed-replace",
];
/// Beginnings of types that are never text: their bytes mean nothing to a reader.
const OPAQUE: &[&str] = &[
    "image/",
    "audio/",
    "video/",
    "font/",
    "model/",
    "application/octet-stream",
    "application/x-git-",
    "application/grpc",
    "application/pdf",
    "application/wasm",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/x-tar",
    "application/x-bzip",
    "application/x-xz",
    "application/x-7z-compressed",
    "application/vnd.rar",
    "application/java-archive",
];

/// What an answer is, as far as its head says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Text that comes in events.
    Events,
    /// Never text.
    Opaque,
    /// The head does not say.
    Unknown,
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if EVENTS.contains(&essence.as_str()) {
            return Self::Events;
        }
        let archive = ["+zip", "+gzip", "+zstd", "+cbor"].iter().any(|suffix| essence.ends_with(suffix));
        if archive || OPAQUE.iter().any(|kind| essence.starts_with(kind)) {
            return Self::Opaque;
        }
        let structured = ["+json", "+xml", "+yaml"].iter().any(|suffix| essence.ends_with(suffix));
        let named = essence.strip_prefix("application/").is_some_and(|name| TEXT.contains(&name));
        match structured || named || essence.starts_with("text/") {
            true => Self::Text,
            false => Self::Unknown,
        }
    }
}

/// Whether a body that begins like this is text in UTF-8.
pub(super) fn is_text(begins: &[u8]) -> bool {
    let begins = begins.get(..BEGINNING).unwrap_or(begins);
    let valid = match std::str::from_utf8(begins) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none(),
    };
    let control = |byte: &u8| *byte < b' ' && !matches!(*byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    valid && !begins.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(declared: &str) -> Kind {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, declared.parse().unwrap());
        Kind::of(&headers)
    }

    #[test]
    fn text_is_told_from_what_no_one_reads() {
        for declared in [
            "text/html; charset=utf-8",
            "Application/JSON",
            "application/vnd.npm.install-v1+json",
            "application/xml",
            "text/markdown",
        ] {
            assert_eq!(kind(declared), Kind::Text, "{declared}");
        }
        for declared in [
            "image/png",
            "image/svg+xml",
            "application/octet-stream",
            "application/x-git-upload-pack-result",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/zip",
        ] {
            assert_eq!(kind(declared), Kind::Opaque, "{declared}");
        }
        assert_eq!(kind("text/event-stream"), Kind::Events);
        assert_eq!(kind("something/else"), Kind::Unknown);
        assert_eq!(Kind::of(&HeaderMap::new()), Kind::Unknown);
    }

    #[test]
    fn a_beginning_says_whether_a_body_is_text() {
        assert!(is_text("caf\u{e9}\n".as_bytes()));
        assert!(is_text(&"caf\u{e9}".as_bytes()[..4]), "a cut character");
        assert!(!is_text(b"PK\x03\x04"));
        assert!(!is_text(b"\x89PNG"));
        assert!(!is_text(b"caf\xe9 latin"));
    }
}
