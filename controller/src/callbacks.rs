//! Where Slack, Discord, ntfy and other systems send what people decide: a listener that may be reached from anywhere,
//! because everything that is heard on it is signed.
//!
//! Invariants: five paths, by POST alone; heads, bodies and connections are bounded, in size and in time; no bottle reaches
//! it through Hudson's proxy; what is not signed learns nothing but that.

mod discord;
mod ntfy;
mod slack;
mod webhook;

use crate::control::{self, Answerer, Body};
use crate::hearing::{Hearing, Refusal};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hudson_proxy::OwnListeners;
use hudson_schema::config::ListenSetting;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// The longest body, in bytes: a message comes back with what is pressed.
const MOST: usize = 256 << 10;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How long one connection is kept, whatever is said on it, and how long what is under way then may take.
const STAYS: Duration = Duration::from_secs(60);
const LAST: Duration = Duration::from_secs(15);
/// How long accepting rests after it failed.
const REST: Duration = Duration::from_millis(50);

/// Answers what services send.
struct Callbacks {
    hearing: Arc<Hearing>,
}

/// Binds the address of the settings, if any, and serves it for as long as the process lives; where that is.
pub async fn listen(
    setting: ListenSetting,
    own: &OwnListeners,
    hearing: Arc<Hearing>,
) -> Result<Option<SocketAddr>> {
    let ListenSetting::On(address) = setting else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen for callbacks on {address} (control.callbacks); is another hudson listening there?"
        )
    })?;
    let bound = listener.local_addr()?;
    own.add(bound);
    tokio::spawn(serve(listener, Arc::new(Callbacks { hearing })));
    Ok(Some(bound))
}

async fn serve(listener: TcpListener, answerer: Arc<dyn Answerer>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answerer = answerer.clone();
                tokio::spawn(async move {
                    one(stream, answerer).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// Serves one connection for a while: those who come back come on another.
async fn one(stream: TcpStream, answerer: Arc<dyn Answerer>) {
    let end = CancellationToken::new();
    let serving = control::serve_connection(TokioIo::new(stream), answerer, end.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = tokio::time::sleep(STAYS) => {
            end.cancel();
            // Who is cut off has had its time.
            let _ = tokio::time::timeout(LAST, serving).await;
        }
    }
}

/// Where something was sent.
enum Place<'a> {
    Slack,
    Discord,
    Ntfy(&'a str),
    Webhook(&'a str),
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        match (segments.next()?, segments.next(), segments.next()) {
            ("slack", None, None) => Some(Self::Slack),
            ("discord", None, None) => Some(Self::Discord),
            ("ntfy", Some(token), None) => Some(Self::Ntfy(token)),
            ("webhook", Some(name), None) => Some(Self::Webhook(name)),
            _ => None,
        }
    }
}

impl Answerer for Callbacks {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Some(place) = Place::of(parts.uri.path()) else {
                return control::error(StatusCode::NOT_FOUND, "not_found", "nothing is here");
            };
            if parts.method != Method::POST {
                let mut refused = control::error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "only POST is answered",
                );
                refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                return refused;
            }
            let body = match whole(body).await {
                Ok(body) => body,
                Err(refused) => return *refused,
            };
            let hearing = &self.hearing;
            match place {
                Place::Slack => slack::answer(hearing, &parts, &body).await,
                Place::Discord => discord::answer(hearing, &parts, &body).await,
                Place::Ntfy(token) => ntfy::answer(hearing, token).await,
                Place::Webhook(name) => webhook::answer(hearing, name, &parts, &body).await,
            }
        })
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Box<Response<Body>>> {
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, MOST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => {
            let why = format!("a body has at most {MOST} bytes, and all that were announced");
            Err(Box::new(control::error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &why)))
        }
        Err(_) => {
            let why = format!("the body took longer than {} s", BODY_WITHIN.as_secs());
            Err(Box::new(control::error(StatusCode::REQUEST_TIMEOUT, "too_slow", &why)))
        }
    }
}

/// A header that is there once.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The time and the signature that were sent, where both are there.
fn signed<'a>(parts: &'a Parts, timestamp: &str, signature: &str) -> Result<(&'a str, &'a str), Refusal> {
    match (header(&parts.headers, timestamp), header(&parts.headers, signature)) {
        (Some(timestamp), Some(signature)) => Ok((timestamp, signature)),
        _ => Err(Refusal::Signature),
    }
}

/// What a program is told that was refused.
fn refuse(refusal: &Refusal) -> Response<Body> {
    control::error(refusal.status(), refusal.word(), &refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_paths_lead_anywhere() {
        for path in ["/slack", "/discord", "/ntfy/a:x:m", "/webhook/ops"] {
            assert!(Place::of(path).is_some(), "{path}");
        }
        for path in [
            "",
            "/",
            "/slack/",
            "/slack/x",
            "/telegram",
            "/ntfy",
            "/webhook",
            "/webhook/a/b",
            "slack",
            "//slack",
        ] {
            assert!(Place::of(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_not_there() {
        let mut headers = HeaderMap::new();
        headers.append("x-slack-signature", HeaderValue::from_static("v0=a"));
        assert_eq!(header(&headers, "x-slack-signature"), Some("v0=a"));
        headers.append("x-slack-signature", HeaderValue::from_static("v0=b"));
        assert_eq!(header(&headers, "x-slack-signature"), None);
    }
}
