//! Checks AWS Signature Version 4 as AWS does: over the request that arrived, with the secret that only the sender
//! should have. Source: AWS, "Create a signed AWS API request". Dates are not compared with the clock.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// What a path keeps: RFC 3986's unreserved characters, and the slash.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An error type of AWS, and what it says.
type Refused = (&'static str, &'static str);

const UNSIGNED: Refused = ("MissingAuthenticationTokenException", "Missing Authentication Token");
const UNKNOWN: Refused =
    ("UnrecognizedClientException", "The security token included in the request is invalid.");
const WRONG: Refused = (
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided.",
);

/// Nothing, where the signature is right for this request with this body.
pub(super) fn check(
    parts: &http::request::Parts,
    body: &[u8],
    (id, secret): (&str, &str),
) -> Result<(), Refused> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let authorization =
        header("authorization").and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 ")).ok_or(UNSIGNED)?;
    let member = |name: &str| {
        authorization
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or(UNSIGNED)
    };
    let (credential, signed) = (member("Credential")?, member("SignedHeaders")?);
    let (key, scope) = credential.split_once('/').ok_or(UNSIGNED)?;
    if key != id {
        return Err(UNKNOWN);
    }
    let mut canonical = format!("{}\n", parts.method);
    // The path is encoded once more than it was sent, for every service but S3.
    canonical.push_str(&format!("{}\n", utf8_percent_encode(parts.uri.path(), KEPT)));
    let mut query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    canonical.push_str(&format!("{}\n", query.join("&")));
    for name in signed.split(';') {
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let value = header(name).or(authority.filter(|_| name == "host")).ok_or(WRONG)?;
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        canonical.push_str(&format!("{name}:{}\n", words.join(" ")));
    }
    canonical.push_str(&format!("\n{signed}\n{}", hex(&Sha256::digest(body))));
    let date = header("x-amz-date").ok_or(WRONG)?;
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| keyed(&key, part));
    // A signature must cover the host, or it could be sent elsewhere.
    let covers_host = signed.split(';').any(|name| name == "host");
    (covers_host && hex(&keyed(&key, &text)) == member("Signature")?).then_some(()).ok_or(WRONG)
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
