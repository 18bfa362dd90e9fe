//! AWS Signature Version 4, put on a request as it leaves, after every rewrite.
//!
//! The keys come as `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`, or as the JSON that a `credential_process` of the
//! AWS CLI prints. Invariant: what the agent signed, or asked to be signed, goes before anything is signed here.
//! Source: AWS, "Signature Version 4 signing process".

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign as sign_request,
};
use aws_sigv4::sign::v4;
use http::{HeaderName, Request, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::SystemTime;

/// The headers in which a signature and what belongs to it stand.
pub(super) const HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-security-token"),
];

/// The query parameters of a request that was signed in its URL.
pub(super) const PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// What is sent behind the head.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Payload<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// Nobody knows yet. Only S3 takes a signature that leaves it out.
    Stream,
}

/// Whether a service takes a signature that leaves the payload out.
pub(super) fn signs_streams(service: &str) -> bool {
    service == "s3" || service.starts_with("s3-") || service == "s3express"
}

/// What to sign for.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: SystemTime,
}

/// Signs a request; in words, why it cannot be.
pub(super) fn sign<B>(
    request: &mut Request<B>,
    payload: Payload<'_>,
    secret: &SecretString,
    scope: &Scope<'_>,
) -> Result<(), &'static str> {
    let keys = Keys::read(secret)?;
    let token = keys.token.as_ref().map(|token| token.expose_secret().to_owned());
    let identity = Credentials::new(keys.id, keys.secret.expose_secret(), token, None, "hudson").into();
    let mut settings = SigningSettings::default();
    if signs_streams(scope.service) {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.now)
        .settings(settings)
        .build()
        .map_err(|_| "its region or service is missing")?
        .into();
    let body = match payload {
        Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
        Payload::Stream => SignableBody::UnsignedPayload,
    };
    // What somebody on the way may change is not signed.
    let signed = |name: &HeaderName| *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-");
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter(|(name, _)| signed(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body)
        .map_err(|_| "the request cannot be signed")?;
    let (instructions, _) =
        sign_request(signable, &parameters).map_err(|_| "the request cannot be signed")?.into_parts();
    instructions.apply_to_request_http1x(request);
    for name in HEADERS {
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
    Ok(())
}

/// An access key.
pub(super) struct Keys {
    id: String,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
}

impl Keys {
    pub(super) fn read(text: &SecretString) -> Result<Self, &'static str> {
        let text = text.expose_secret().trim();
        if text.starts_with('{') {
            let process: Process =
                serde_json::from_str(text).map_err(|_| "it is not the JSON of a credential process")?;
            return Ok(Self { id: process.id, secret: process.secret, token: process.token });
        }
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(secret), token) if !id.is_empty() && !secret.is_empty() => Ok(Self {
                id: id.to_owned(),
                secret: SecretString::from(secret.to_owned()),
                token: token.map(|token| SecretString::from(token.to_owned())),
            }),
            _ => Err(
                "it is not ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN behind it where there is one",
            ),
        }
    }
}

/// What a credential process prints.
#[derive(Deserialize)]
struct Process {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: SecretString,
    #[serde(rename = "SessionToken")]
    token: Option<SecretString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const KEYS: &str = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signed(text: &str, service: &str, payload: Payload<'_>) -> Request<()> {
        let mut request = Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("accept-encoding", "gzip")
            .body(())
            .unwrap();
        let scope =
            Scope { region: "us-east-1", service, now: UNIX_EPOCH + Duration::from_secs(1_440_938_160) };
        sign(&mut request, payload, &SecretString::from(text.to_owned()), &scope).unwrap();
        request
    }

    #[test]
    fn the_example_of_the_documentation_is_signed_as_documented() {
        let request = signed(KEYS, "iam", Payload::Bytes(b""));
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert!(request.headers()["authorization"].is_sensitive());
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
    }

    #[test]
    fn keys_come_as_a_line_or_as_a_credential_process_prints_them() {
        let line = format!("{KEYS}:token//=");
        let json = r#"{"Version":1,"AccessKeyId":"AKIDEXAMPLE","Expiration":"2030-01-01T00:00:00Z",
            "SecretAccessKey":"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY","SessionToken":"token//="}"#;
        let both = [line.as_str(), json].map(|text| signed(text, "bedrock", Payload::Bytes(b"{}")));
        assert_eq!(both[0].headers(), both[1].headers());
        assert_eq!(both[0].headers()["x-amz-security-token"], "token//=");
        for wrong in ["", "AKID", "AKID:", ":secret", "{}"] {
            assert!(Keys::read(&SecretString::from(wrong.to_owned())).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_payload_that_nobody_knows_is_left_out_for_s3() {
        let request = signed(KEYS, "s3", Payload::Stream);
        assert_eq!(request.headers()["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
        assert!(signs_streams("s3") && !signs_streams("bedrock"));
    }
}
