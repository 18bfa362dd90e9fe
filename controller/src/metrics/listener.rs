//! Where metrics are scraped: a listener of its own, which answers `GET /metrics` and nothing else.
//!
//! Invariants: a name that a web page may have rebound to this address is answered nothing; no bottle reaches the
//! listener through Hudson's proxy.

use crate::control::{self, Answerer, Body};
use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hudson_proxy::OwnListeners;
use hudson_schema::config::{Authority, Host, HostPattern};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once: a scraper or two.
const CONNECTIONS: usize = 16;
/// How long accepting rests after it failed.
const REST: Duration = Duration::from_millis(50);

/// Who may ask, and for what.
pub struct Access<F> {
    /// Names that are answered beside `localhost` and addresses.
    pub hosts: Vec<HostPattern>,
    /// Makes the page.
    pub page: F,
}

/// Binds the address and serves it for as long as the process lives; where that is.
pub async fn listen<F>(address: SocketAddr, own: &OwnListeners, access: Access<F>) -> Result<SocketAddr>
where
    F: Fn() -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot serve metrics on {address}; is another hudson serving them there? `--metrics` names another address"
        )
    })?;
    let bound = listener.local_addr()?;
    own.add(bound);
    tokio::spawn(serve(listener, Arc::new(access)));
    Ok(bound)
}

async fn serve(listener: TcpListener, answerer: Arc<dyn Answerer>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answerer = answerer.clone();
                tokio::spawn(async move {
                    control::serve_connection(TokioIo::new(stream), answerer, CancellationToken::new()).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

impl<F> Answerer for Access<F>
where
    F: Fn() -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
{
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        if !is_known(&request, &self.hosts) {
            let why = "metrics are served for `localhost`, IP addresses and the names in control.metrics_hosts of \
                       settings.yml alone";
            let refused = control::error(StatusCode::MISDIRECTED_REQUEST, "unknown_host", why);
            return Box::pin(async { refused });
        }
        if request.uri().path() != "/metrics" {
            let refused = control::error(StatusCode::NOT_FOUND, "not_found", "only /metrics is here");
            return Box::pin(async { refused });
        }
        if request.method() != Method::GET {
            let mut refused =
                control::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET is answered");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            return Box::pin(async { refused });
        }
        (self.page)()
    }
}

/// Whether whoever asks knows where it asks. A browser that was led here names the host of the page that did it.
fn is_known<B>(request: &Request<B>, hosts: &[HostPattern]) -> bool {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (Some(host), None, None) = (named.next(), named.next(), request.uri().authority()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| Authority::parse_or(host, 80).ok());
    host.is_some_and(|Authority { host, .. }| match &host {
        Host::Ip(_) => true,
        Host::Name(name) => name == "localhost" || hosts.iter().any(|pattern| pattern.matches(&host)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_operator_knows_are_answered() {
        let hosts: Vec<HostPattern> = vec![serde_json::from_str("\"prom.example.com\"").unwrap()];
        for (named, known) in [
            (&["localhost:9464"][..], true),
            (&["LOCALHOST"], true),
            (&["127.0.0.1:9464"], true),
            (&["[::1]:9464"], true),
            (&["prom.example.com:9464"], true),
            (&["evil.example.com:9464"], false),
            (&["localhost.evil.example"], false),
            (&["127.0.0.1.evil.example"], false),
            (&[""], false),
            (&[], false),
            (&["localhost", "evil.example"], false),
        ] {
            let request = named.iter().fold(Request::builder().uri("/metrics"), |request, host| {
                request.header(header::HOST, *host)
            });
            assert_eq!(is_known(&request.body(()).unwrap(), &hosts), known, "{named:?}");
        }
        let absolute =
            Request::builder().uri("http://evil.example/metrics").header(header::HOST, "localhost");
        assert!(!is_known(&absolute.body(()).unwrap(), &hosts));
    }
}
