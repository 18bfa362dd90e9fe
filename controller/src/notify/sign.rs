//! Keyed hashes: of what leaves, so that a receiver knows who sends, and of what comes, so that Hudson does.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// How far a timestamp may be off, in seconds.
pub const SKEW: u64 = 300;

/// The HMAC-SHA-256 of these parts, one after the other.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length; were it to refuse one, nothing would be signed with another.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// In hex, with this in front.
pub fn hex(front: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(front.to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a webhook is signed with: `v1=` and the HMAC, in hex, of the timestamp, a full stop and the body.
pub fn webhook(secret: &SecretString, timestamp: &str, body: &[u8]) -> String {
    hex("v1=", &hmac(secret.expose_secret().as_bytes(), &[timestamp.as_bytes(), b".", body]))
}

/// What Slack signs with: `v0=` and the HMAC, in hex, of `v0`, the timestamp and the body, with colons between them.
pub fn slack(secret: &SecretString, timestamp: &str, body: &[u8]) -> String {
    hex("v0=", &hmac(secret.expose_secret().as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", body]))
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Whether a timestamp in unix seconds is about now.
pub fn is_recent(timestamp: &str, now: i64) -> bool {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|digit| digit.is_ascii_digit());
    let at: Option<i64> = timestamp.parse().ok().filter(|_| digits);
    at.is_some_and(|at| at.abs_diff(now.div_euclid(1000)) <= SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_signature_is_what_any_other_program_computes() {
        // printf '%s' '1780000000.{…}' | openssl dgst -sha256 -hmac whsec-tests-only
        let body = br#"{"schema":"1","event":"bottle_stopped"}"#;
        let expected = "v1=7d6fbbab4728639f141b91b9c665c2ec1d53639efeffa5c0fc097880f4501af1";
        assert_eq!(webhook(&"whsec-tests-only".into(), "1780000000", body), expected);
        for other in
            [webhook(&"whsec".into(), "1780000000", body), webhook(&"whsec-tests-only".into(), "1", body)]
        {
            assert_ne!(other, expected);
        }
    }

    #[test]
    fn slacks_own_example_is_verified() {
        // https://api.slack.com/authentication/verifying-requests-from-slack
        let secret = "8f742231b10e8888abcd99yyyzzz85a5".into();
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                    channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                    96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        assert_eq!(slack(&secret, "1531420618", body.as_bytes()), expected);
    }

    #[test]
    fn a_timestamp_is_good_for_five_minutes_either_way() {
        let now = 1_780_000_000_999;
        for (timestamp, recent) in [
            ("1780000000", true),
            ("1779999700", true),
            ("1780000300", true),
            ("1779999699", false),
            ("1780000301", false),
            ("", false),
            ("+1780000000", false),
            ("-1", false),
            ("1780000000.0", false),
            ("99999999999999999999", false),
        ] {
            assert_eq!(is_recent(timestamp, now), recent, "{timestamp}");
        }
    }

    #[test]
    fn the_same_is_the_same() {
        assert!(same("v1=ab", "v1=ab"));
        assert!(!same("v1=ab", "v1=ac") && !same("v1=ab", "v1=a") && !same("", "v"));
    }
}
