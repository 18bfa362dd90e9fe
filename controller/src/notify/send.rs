//! One call to a service. The connection is Hudson's own: verified TLS, no proxy of any environment, no redirect followed.
//!
//! Invariant: neither a URL's path nor a header is in any error: tokens stand in both.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hudson_proxy::dial::{Dialer, Target, UpstreamStream};
use hudson_proxy::tls::Wire;
use hudson_schema::config::{IpNetwork, WebhookUrl};
use hudson_schema::prompt;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;

/// The longest answer that is read, in bytes: what a poll brings at most.
const MOST: usize = 1 << 20;
/// The longest time that a service can have itself be waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Characters of a service's own words in an error.
const WORDS: usize = 120;

/// What is sent.
pub struct Call {
    /// Where to.
    pub url: WebhookUrl,
    /// How.
    pub method: Method,
    /// With which headers, beside those of every call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What.
    pub body: Bytes,
    /// Whether the answer has more to say than its status.
    pub is_asked: bool,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How long nothing more is wanted.
    pub retry_after: Option<Duration>,
    /// Its body, cut where it is too long to be one of a service.
    pub body: Bytes,
}

/// Why something did not arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It may the next time.
    Again(String),
    /// It may, after this time.
    After(Duration, String),
    /// It never will as it is.
    Never(String),
}

impl Fault {
    /// The words of it.
    pub fn words(&self) -> &str {
        match self {
            Self::Again(words) | Self::After(_, words) | Self::Never(words) => words,
        }
    }
}

impl Call {
    /// JSON that is posted.
    pub fn json(url: WebhookUrl, body: &Value) -> Self {
        Self {
            url,
            method: Method::POST,
            headers: Vec::new(),
            body: Bytes::from(body.to_string()),
            is_asked: true,
        }
    }

    /// The same with one more header, whose value is a secret.
    pub fn secretly(mut self, name: HeaderName, value: &str) -> Result<Self, Fault> {
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            Fault::Never(format!("the secret for {name} has letters that no header can have"))
        })?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    fn request(self) -> Result<Request<Full<Bytes>>, String> {
        let Self { url, method, headers, body, is_asked: _ } = self;
        let mut request = Request::builder()
            .method(method)
            .uri(&url.path)
            .header(header::HOST, url.named())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("hudson/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::from(body)).map_err(|_| "the URL cannot be asked for".to_owned())
    }
}

/// Sends it, and reads what comes back; what went wrong where nothing did in time.
pub async fn send(dialer: &Dialer, call: Call, limit: Duration) -> Result<Answer, Fault> {
    match tokio::time::timeout(limit, attempt(dialer, call)).await {
        Ok(result) => result.map_err(Fault::Again),
        Err(_) => Err(Fault::Again(format!("no answer within {} s", limit.as_secs()))),
    }
}

async fn attempt(dialer: &Dialer, call: Call) -> Result<Answer, String> {
    // The operator's own URL: a receiver on this host or in a private network is as good as any.
    let anywhere: Vec<IpNetwork> =
        ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
    let (scheme, authority) = (call.url.scheme, call.url.authority.clone());
    let target = Target {
        scheme,
        host: &authority.host,
        port: authority.port,
        wire: Wire::Http1,
        allow: &anywhere,
        tls: None,
        connect_to: None,
        proxy: None,
    };
    let is_asked = call.is_asked;
    let request = call.request()?;
    match dialer.dial(target).await.map_err(|fault| fault.to_string())? {
        UpstreamStream::Plain(stream) | UpstreamStream::Forwarded(stream) => {
            answered(TokioIo::new(stream), request, is_asked).await
        }
        UpstreamStream::Tls(stream) => answered(TokioIo::new(stream), request, is_asked).await,
    }
}

async fn answered(
    stream: impl Read + Write + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    is_asked: bool,
) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    // It ends with its two halves, at the latest when this call is given up.
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = response.into_parts();
    let retry_after = retry_after(&head.headers);
    let body = match is_asked {
        // What arrived, arrived, whatever becomes of the rest of the answer.
        true => Limited::new(body, MOST).collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
        false => Bytes::new(),
    };
    drop(connection);
    Ok(Answer { status: head.status, retry_after, body })
}

/// One more key of a JSON object.
pub fn put(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value.into());
    }
}

/// Seconds; a date is not read, and the channel's own times hold.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().and_then(seconds)
}

/// So many seconds, at most as many as anybody is waited for.
pub fn seconds(seconds: f64) -> Option<Duration> {
    if seconds < 0.0 {
        return Some(Duration::ZERO);
    }
    // What is no number, or more than there is time, is nothing that was said.
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(LONGEST_WAIT))
}

/// What a status says: nothing for an arrival, else what went wrong. `told` is what the service says of it, and
/// `wait` how long it wants to be left alone.
pub fn judge(answer: &Answer, told: Option<&str>, wait: Option<Duration>) -> Result<(), Fault> {
    let status = answer.status;
    let words = match told.map(|told| prompt::cleaned(told, WORDS)).filter(|told| !told.is_empty()) {
        Some(told) => format!("answered {}: {told}", status.as_u16()),
        None => format!("answered {}", status.as_u16()),
    };
    match status {
        _ if status.is_success() => Ok(()),
        _ if status.is_redirection() => {
            Err(Fault::Never(format!("answered {}, and redirects are not followed", status.as_u16())))
        }
        StatusCode::TOO_MANY_REQUESTS => Err(match wait.or(answer.retry_after) {
            Some(wait) => Fault::After(wait, words),
            None => Fault::Again(words),
        }),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => Err(Fault::Again(words)),
        _ if status.is_client_error() => Err(Fault::Never(words)),
        _ => Err(Fault::Again(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        let retry_after = retry_after.map(Duration::from_secs);
        Answer { status: StatusCode::from_u16(status).unwrap(), retry_after, body: Bytes::new() }
    }

    #[test]
    fn a_status_says_whether_it_is_worth_another_attempt() {
        let again = |words: &str| Err(Fault::Again(words.to_owned()));
        let never = |words: &str| Err(Fault::Never(words.to_owned()));
        for (status, expected) in [
            (200, Ok(())),
            (204, Ok(())),
            (302, never("answered 302, and redirects are not followed")),
            (400, never("answered 400")),
            (403, never("answered 403")),
            (408, again("answered 408")),
            (409, again("answered 409")),
            (429, again("answered 429")),
            (500, again("answered 500")),
            (503, again("answered 503")),
        ] {
            assert_eq!(judge(&answer(status, None), None, None), expected, "{status}");
        }
        let after = |seconds| Err(Fault::After(Duration::from_secs(seconds), "answered 429".to_owned()));
        assert_eq!(judge(&answer(429, Some(7)), None, None), after(7));
        assert_eq!(judge(&answer(429, Some(7)), None, Some(Duration::from_secs(9))), after(9));
    }

    #[test]
    fn how_long_it_wants_to_be_left_alone_is_bounded() {
        let of = |value: &'static str| {
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]))
        };
        assert_eq!(of("30"), Some(Duration::from_secs(30)));
        assert_eq!(of("0.65"), Some(Duration::from_millis(650)));
        assert_eq!(of("99999999"), Some(LONGEST_WAIT));
        assert_eq!(of("-5"), Some(Duration::ZERO));
        for other in ["Wed, 21 Oct 2026 07:28:00 GMT", "", "NaN", "1e400"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_services_words_stay_on_their_line_and_are_cut() {
        let told = format!("no\r\nsuch\u{202e} chat {}", "x".repeat(500));
        let Err(Fault::Never(words)) = judge(&answer(400, None), Some(&told), None) else { panic!() };
        assert!(
            words.starts_with("answered 400: no") && !words.contains(['\n', '\r', '\u{202e}']),
            "{words}"
        );
        assert!(words.chars().count() <= 200, "{words}");
    }
}
