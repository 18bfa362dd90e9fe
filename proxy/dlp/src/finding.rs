//! What was found, said without the secret.
//!
//! Invariant: a finding never carries the value. Of it there are a keyed hash, at most four characters and the length.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The rule of a known value.
pub(crate) const KNOWN: &str = "known-value";
/// The rule of a known value in pieces.
pub(crate) const KNOWN_SPLIT: &str = "known-value-split";
/// The rule of a canary.
pub(crate) const CANARY: &str = "canary";
/// Values shorter than this show none of their characters.
const PREVIEWED: usize = 12;
/// How many characters a preview shows.
const SHOWN: usize = 4;
/// Bytes of the keyed hash that identify a value.
const HASH_BYTES: usize = 16;

/// One hit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The rule's id; `known-value`, `known-value-split` and `canary` are those of known values.
    pub rule: Arc<str>,
    /// How sure it is.
    pub confidence: Confidence,
    /// How bad it would be.
    pub severity: Severity,
    /// What it asks for.
    pub class: Class,
    /// Why the class is lower than the confidence alone would make it.
    pub lowered: Option<Lowered>,
    /// In which part of the request.
    pub part: Part,
    /// Where in the part, as far as it has a structure: a JSON pointer, or the name of a query parameter.
    pub location: Option<String>,
    /// From the outside in: how the value was wrapped.
    pub encodings: Vec<Encoding>,
    /// Where it begins, in bytes of the part as it was after transport decoding.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// HMAC-SHA-256 of the value under the installation's key, 16 bytes in hex: the same value has the same hash.
    pub hash: String,
    /// At most four characters of the value, and its length.
    pub preview: Preview,
    /// What the validator said, for rules that have one.
    pub validated: Option<bool>,
    /// What the validator read out of the value and may be told, such as an account's number.
    pub detail: Option<String>,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It looks like one.
    Possible,
    /// The form is a documented one.
    Likely,
    /// A checksum or a known value says so.
    Confirmed,
}

/// How bad it would be if it left.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A name or an address, no access.
    Low,
    /// Limited access.
    Medium,
    /// Access to one account or service.
    #[default]
    High,
    /// Access to everything behind it.
    Critical,
}

/// What a finding asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An event and nothing else: documentation examples, a credential on its way home.
    Note,
    /// An event and a warning: generic rules, and what is only possible.
    Warn,
    /// The route's `outbound_on_match`.
    Act,
    /// Always blocked, whatever the route says, and the bottle is stopped: a canary.
    Trip,
}

/// Why a finding asks for less than its confidence alone would.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lowered {
    /// A value from documentation that opens nothing.
    Example,
    /// The destination is where the credential belongs.
    HomeHost,
    /// It stands inside a long run of base64, where such forms occur by chance.
    InOpaque,
    /// A token that has no power, such as a public key's.
    Harmless,
}

/// A route's answer to findings of class [`Class::Act`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMatch {
    /// Refuse the request.
    Block,
    /// Take the values out and send the rest.
    Redact,
    /// Hold the request until a person decides.
    #[default]
    Supervise,
    /// Send it and say so.
    Warn,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send it as it is.
    Allow,
    /// Send it and warn.
    Warn,
    /// Take the value out.
    Redact,
    /// Hold it.
    Supervise,
    /// Refuse it.
    Block,
}

/// A part of a request or response that is scanned by itself.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The host's name, label by label.
    Host,
    /// The path and the query as they stand on the request line.
    Target,
    /// The headers; the name of the one it is in.
    Header(String),
    /// The body.
    Body,
    /// A WebSocket message.
    Message,
}

/// A layer around a value.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A JSON string's escapes.
    Json,
    /// Percent, character references, backslash escapes or quoted-printable.
    Escaped,
    /// Characters that look like others, or that are not seen.
    Unicode,
    /// Base64 in either alphabet.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// Base32.
    Base32,
    /// Compressed, by gzip.
    Gzip,
    /// Compressed, by Zstandard.
    Zstd,
    /// UTF-16.
    Utf16,
    /// Back to front.
    Reversed,
    /// In pieces.
    Split,
}

/// What may be shown of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Preview {
    /// Its first characters; none of a short one.
    pub head: String,
    /// Its length in bytes.
    pub length: usize,
}

/// The key of the hashes, made once for an installation.
#[derive(Clone)]
pub struct HashKey(Arc<SecretBox<[u8; 32]>>);

impl HashKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// The hash by which a value is told apart without being known.
    pub fn hash(&self, value: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            return String::new();
        };
        mac.update(value);
        hex(mac.finalize().into_bytes().iter().take(HASH_BYTES))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl Action {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Redact => "redact",
            Self::Supervise => "supervise",
            Self::Block => "block",
        }
    }
}

impl Class {
    /// What is to be done on a route.
    pub fn action(self, route: OnMatch) -> Action {
        match (self, route) {
            (Self::Trip, _) | (Self::Act, OnMatch::Block) => Action::Block,
            (Self::Act, OnMatch::Redact) => Action::Redact,
            (Self::Act, OnMatch::Supervise) => Action::Supervise,
            (Self::Act, OnMatch::Warn) | (Self::Warn, _) => Action::Warn,
            (Self::Note, _) => Action::Allow,
        }
    }
}

impl Finding {
    /// What is to be done on a route.
    pub fn action(&self, route: OnMatch) -> Action {
        self.class.action(route)
    }

    /// Whether it is a value that is known by heart, whole or in pieces, or a canary.
    pub fn is_known(&self) -> bool {
        [KNOWN, KNOWN_SPLIT, CANARY].contains(&&*self.rule)
    }

    /// Where it is, in words: the part, and the place in it where that has a structure.
    pub fn place(&self) -> String {
        match &self.location {
            Some(location) => format!("{} {location}", self.part.name()),
            None => self.part.name().into_owned(),
        }
    }
}

impl Preview {
    /// What may be shown of these bytes.
    pub fn of(value: &[u8]) -> Self {
        let shown = if value.len() < PREVIEWED { 0 } else { SHOWN };
        let head = String::from_utf8_lossy(value.get(..shown).unwrap_or_default());
        let seen = |c: char| if c.is_ascii_graphic() { c } else { '.' };
        Self { head: head.chars().map(seen).collect(), length: value.len() }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}… ({} bytes)", self.head, self.length)
    }
}

impl Serialize for Preview {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Encoding {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Escaped => "escaped",
            Self::Unicode => "unicode",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Base32 => "base32",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Utf16 => "utf16",
            Self::Reversed => "reversed",
            Self::Split => "split",
        }
    }
}

impl Part {
    /// Its name in reports.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Host => "host".into(),
            Self::Target => "target".into(),
            Self::Header(name) => format!("header {name}").into(),
            Self::Body => "body".into(),
            Self::Message => "message".into(),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_holds_four_characters_and_no_more() {
        let preview = Preview::of(b"ghp_0123456789abcdef");
        assert_eq!(preview.to_string(), "ghp_… (20 bytes)");
        assert_eq!(Preview::of(b"short").to_string(), "… (5 bytes)");
        assert_eq!(Preview::of(b"\xff\x00\n\t0123456789").head.chars().filter(|c| !c.is_ascii()).count(), 0);
    }

    #[test]
    fn a_hash_depends_on_the_key_and_the_value() {
        let (one, other) = (HashKey::new([1; 32]), HashKey::new([2; 32]));
        assert_eq!(one.hash(b"value"), one.hash(b"value"));
        assert_ne!(one.hash(b"value"), other.hash(b"value"));
        assert_ne!(one.hash(b"value"), one.hash(b"values"));
        assert_eq!(one.hash(b"").len(), 2 * HASH_BYTES);
    }

    #[test]
    fn a_canary_is_blocked_on_every_route() {
        for route in [OnMatch::Block, OnMatch::Redact, OnMatch::Supervise, OnMatch::Warn] {
            assert_eq!(Class::Trip.action(route), Action::Block);
            assert_eq!(Class::Note.action(route), Action::Allow);
        }
        assert_eq!(Class::Act.action(OnMatch::default()), Action::Supervise);
    }
}
