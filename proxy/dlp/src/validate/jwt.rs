//! JSON Web Tokens: three parts, a header that names an algorithm, claims that can be told.

use super::Verdict;
use super::structure::base64_any;
use serde::Deserialize;

/// Claims longer than this are cut in what is told of them.
const TOLD: usize = 40;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    role: Option<String>,
    sub: Option<serde_json::Value>,
    name: Option<serde_json::Value>,
}

/// Whether this is a token, and whether one that opens something.
pub(super) fn judge(value: &[u8]) -> Verdict {
    let mut parts = value.split(|byte| *byte == b'.');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return Verdict::of(false) };
    let read = |part: &[u8]| base64_any(part);
    let header = read(header).and_then(|bytes| serde_json::from_slice::<Header>(&bytes).ok());
    let Some(header) = header.filter(|header| !header.alg.is_empty()) else { return Verdict::of(false) };
    let claims = read(claims).and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    let Some(claims) = claims else { return Verdict { valid: true, harmless: false, detail: None } };
    // Supabase's key for browsers: made to be public.
    let anonymous = claims.role.as_deref() == Some("anon");
    let unsigned = header.alg.eq_ignore_ascii_case("none");
    let sample = claims.sub.as_ref().and_then(|sub| sub.as_str()) == Some("1234567890")
        && claims.name.as_ref().and_then(|name| name.as_str()) == Some("John Doe");
    let mut told = Vec::new();
    for (name, claim) in [("iss", &claims.iss), ("role", &claims.role)] {
        if let Some(claim) = claim {
            let clean = |c: &char| c.is_ascii_graphic();
            told.push(format!("{name} {}", claim.chars().filter(clean).take(TOLD).collect::<String>()));
        }
    }
    let detail = (!told.is_empty()).then(|| told.join(", "));
    Verdict { valid: true, harmless: anonymous || unsigned || sample, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn token(header: &str, claims: &str) -> Vec<u8> {
        let coded = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2lnbmF0dXJl", coded(header), coded(claims)).into_bytes()
    }

    #[test]
    fn a_header_has_to_name_its_algorithm() {
        assert!(judge(&token(r#"{"alg":"HS256"}"#, r#"{"iss":"https://id"}"#)).valid);
        assert!(!judge(&token(r#"{"typ":"JWT"}"#, "{}")).valid);
        assert!(!judge(b"eyJ.eyJ.x").valid);
    }

    #[test]
    fn a_public_key_and_the_tutorials_token_open_nothing() {
        let header = r#"{"alg":"HS256"}"#;
        assert!(judge(&token(header, r#"{"role":"anon","iss":"supabase"}"#)).harmless);
        assert!(judge(&token(header, r#"{"sub":"1234567890","name":"John Doe"}"#)).harmless);
        let service = judge(&token(header, r#"{"role":"service_role","iss":"supabase"}"#));
        assert!(!service.harmless);
        assert_eq!(service.detail.as_deref(), Some("iss supabase, role service_role"));
    }
}
