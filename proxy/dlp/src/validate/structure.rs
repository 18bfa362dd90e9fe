//! Structures without a checksum.

use super::entropy::{is_placeholder, shannon};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Takes padded and unpadded text; the last character's spare bits may be anything.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
/// Base64 characters that a private key's body has at least.
const PEM_BODY: usize = 40;

/// The bytes of base64 in either alphabet.
pub(crate) fn base64_any(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

/// Whether the text, behind a prefix that ends in an underscore, is base64 of a JSON object.
pub(super) fn base64_json(value: &[u8]) -> bool {
    let at = memchr::memmem::find(value, b"eyJ").unwrap_or(0);
    let body = value.get(at..).unwrap_or_default();
    base64_any(body).is_some_and(|bytes| {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).is_ok()
    })
}

/// Whether the text is base64 of a number of four digits or more, a colon and other bytes.
pub(super) fn base64_colon(value: &[u8]) -> bool {
    let Some(bytes) = base64_any(value) else { return false };
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits >= 4 && bytes.get(digits) == Some(&b':') && bytes.len() > digits + 8
}

/// Whether an armoured key has a body that is base64, and an end.
pub(super) fn pem(value: &[u8]) -> bool {
    let text = value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let body =
        text.filter(|line| line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r".contains(byte)));
    let characters: usize = body.map(<[u8]>::len).sum();
    characters >= PEM_BODY && memchr::memmem::find(value, b"-----END").is_some()
}

/// Whether letters and digits both occur.
pub(super) fn mixed(value: &[u8]) -> bool {
    let digit = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    digit && !is_identifier(value) && !is_placeholder(value)
}

/// Whether this is a name that a programmer gave, such as `X509Certificate` or `ML_KEM_1024`: letters with a number or two.
fn is_identifier(value: &[u8]) -> bool {
    let joined = value.iter().any(|byte| matches!(byte, b'_' | b'-' | b'.'));
    let plain = value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let kinds: Vec<bool> =
        value.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::is_ascii_digit).collect();
    let changes = kinds.array_windows::<2>().filter(|[one, next]| one != next).count();
    plain && !kinds.first().copied().unwrap_or(false) && changes <= 2 && (joined || value.len() < 24)
}

/// Whether this can be a password rather than a variable or a word from a manual.
pub(super) fn password(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"password",
        b"passwd",
        b"pass",
        b"pwd",
        b"secret",
        b"user",
        b"username",
        b"postgres",
        b"root",
        b"test",
        b"admin",
        b"guest",
        b"token",
        b"mysecretpassword",
        b"redis",
        b"mysql",
        b"mypassword",
        b"mypass",
        b"foo",
        b"bar",
        b"pw",
        b"changeme",
    ];
    let variable = value.first().is_some_and(|byte| b"$<{%[*(".contains(byte)) || value.contains(&b'{');
    let lower = value.to_ascii_lowercase();
    value.len() >= 3
        && !variable
        && !WORDS.contains(&lower.as_slice())
        && !is_placeholder(value)
        && shannon(value) > 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_body_and_an_end() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDA";
        let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
        assert!(pem(key.as_bytes()));
        assert!(!pem(b"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"));
    }

    #[test]
    fn a_variable_is_no_password() {
        assert!(
            password(b"h7k2mpq9") && !password(b"${DB_PASS}") && !password(b"password") && !password(b"<pw>")
        );
    }

    #[test]
    fn a_name_is_no_value() {
        for name in [
            "X509CertificateTemplate",
            "STORAGE_OFFLOAD_TOKEN_0_0",
            "ml_kem_1024_encapsulate",
            "colon2_token",
        ] {
            assert!(!mixed(name.as_bytes()), "{name}");
        }
        assert!(mixed(b"a1b2c3d4e5f6a7b8") && mixed(b"9f86d081884c7d659a2f"));
    }

    #[test]
    fn base64_with_a_structure_inside() {
        assert!(base64_json(b"glc_eyJvIjoiMSIsIm4iOiJhIn0="));
        assert!(!base64_json(b"glc_xxxxxxxxxxxxxxxxxxxx"));
        assert!(base64_colon(
            base64::engine::general_purpose::STANDARD.encode(b"123456789012:\x80random!").as_bytes()
        ));
    }
}
