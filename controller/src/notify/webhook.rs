//! One signed POST. The connection is Hudson's own: verified TLS, no proxy of any environment, no redirect followed.
//!
//! Invariant: neither the signing secret nor the URL's path is in any error.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Request, header};
use http_body_util::Full;
use hudson_proxy::dial::{Dialer, Target, UpstreamStream};
use hudson_proxy::tls::Wire;
use hudson_schema::config::{IpNetwork, Scheme, WebhookUrl};
use hudson_schema::ledger::Notification;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

const TIMESTAMP: &str = "x-hudson-timestamp";
const SIGNATURE: &str = "x-hudson-signature";
const DELIVERY: &str = "x-hudson-delivery";

/// Where notifications go.
pub struct Webhook {
    url: WebhookUrl,
    secret: SecretString,
    /// What an error says in place of a host that is a secret.
    shown: Option<String>,
}

impl Webhook {
    /// A webhook; `shown` stands for the host where that must not be told.
    pub fn new(url: WebhookUrl, secret: SecretString, shown: Option<String>) -> Self {
        Self { url, secret, shown }
    }

    /// Sends a notification; what went wrong unless it was answered with a status of 2xx.
    pub async fn post(&self, dialer: &Dialer, notification: &Notification) -> Result<(), String> {
        self.attempt(dialer, notification).await.map_err(|error| match &self.shown {
            Some(shown) => error.replace(&self.url.authority.host.to_string(), shown),
            None => error,
        })
    }

    async fn attempt(&self, dialer: &Dialer, notification: &Notification) -> Result<(), String> {
        let request = self.request(notification, unix_seconds())?;
        let WebhookUrl { scheme, authority, .. } = &self.url;
        // The operator's own URL: a receiver on this host or in a private network is as good as any.
        let anywhere: Vec<IpNetwork> =
            ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let target = Target {
            scheme: *scheme,
            host: &authority.host,
            port: authority.port,
            wire: Wire::Http1,
            allow: &anywhere,
            tls: None,
            connect_to: None,
            proxy: None,
        };
        let status = match dialer.dial(target).await.map_err(|fault| fault.to_string())? {
            UpstreamStream::Plain(stream) | UpstreamStream::Forwarded(stream) => {
                answered(TokioIo::new(stream), request).await?
            }
            UpstreamStream::Tls(stream) => answered(TokioIo::new(stream), request).await?,
        };
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(format!("answered {}, and redirects are not followed", status.as_u16()))
            }
            status => Err(format!("answered {}", status.as_u16())),
        }
    }

    fn request(&self, notification: &Notification, timestamp: u64) -> Result<Request<Full<Bytes>>, String> {
        let WebhookUrl { scheme, authority, path } = &self.url;
        let usual = if *scheme == Scheme::Https { 443 } else { 80 };
        let host = match authority.port == usual {
            true => authority.host.to_string(),
            false => authority.to_string(),
        };
        let signature = signature(self.secret.expose_secret(), timestamp, &notification.payload)?;
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("hudson/", env!("CARGO_PKG_VERSION")))
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, signature)
            .header(DELIVERY, &notification.id)
            .body(Full::from(notification.payload.clone()))
            .map_err(|_| "the URL cannot be asked for".to_owned())
    }
}

/// The status of the answer; its body is not read.
async fn answered(
    stream: impl Read + Write + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<http::StatusCode, String> {
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // What was read before the end is an answer all the same.
        _ = &mut connection => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(broken)
}

/// `v1=` and the HMAC-SHA-256, in hex, of the timestamp, a full stop and the body.
fn signature(secret: &str, timestamp: u64, body: &str) -> Result<String, String> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| "the signing secret cannot be used".to_owned())?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("v1={hex}"))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_any_other_program_computes() {
        // printf '%s' '1780000000.{…}' | openssl dgst -sha256 -hmac whsec-tests-only
        let body = r#"{"schema":"1","event":"bottle_stopped"}"#;
        let expected = "v1=7d6fbbab4728639f141b91b9c665c2ec1d53639efeffa5c0fc097880f4501af1";
        assert_eq!(signature("whsec-tests-only", 1_780_000_000, body).as_deref(), Ok(expected));
        for other in [signature("whsec", 1_780_000_000, body), signature("whsec-tests-only", 1, body)] {
            assert_ne!(other.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_retry_is_signed_anew_and_has_the_same_id() {
        let url = "https://hooks.test/a?b=c".parse().unwrap_or_else(|why| panic!("{why}"));
        let webhook = Webhook::new(url, "s".into(), None);
        let notification = Notification {
            id: "01a1".to_owned(),
            channel: "webhook:$HOOK".to_owned(),
            kind: "bottle_stopped".to_owned(),
            payload: "{}".to_owned(),
            attempt: 1,
        };
        let again = Notification { attempt: 2, ..notification.clone() };
        let [first, second] =
            [(notification, 5), (again, 65)].map(|(one, at)| webhook.request(&one, at).unwrap());
        let of =
            |request: &Request<Full<Bytes>>, name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((of(&first, "host").as_str(), first.uri().to_string().as_str()), ("hooks.test", "/a?b=c"));
        assert_eq!(of(&first, DELIVERY), of(&second, DELIVERY));
        assert_eq!((of(&first, TIMESTAMP), of(&second, TIMESTAMP)), ("5".to_owned(), "65".to_owned()));
        assert_ne!(of(&first, SIGNATURE), of(&second, SIGNATURE));
    }
}
