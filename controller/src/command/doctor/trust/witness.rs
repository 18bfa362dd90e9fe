//! A proxy on loopback that ends every tunnel itself, with a leaf of the CA, and remembers whose request arrived inside.
//!
//! Invariant: nothing is dialled from here.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hudson_proxy::tls::{Alpn, CertificateAuthority, LeafCache};
use hudson_schema::config::Host;
use hudson_schema::home::Home;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What was seen of a client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Seen {
    /// It never came.
    #[default]
    Nothing,
    /// It opened a tunnel; what became of its handshake, where that failed.
    Tunnel(String),
    /// Its request arrived inside TLS: it trusts the CA.
    Request,
}

/// The proxy. It ends when dropped.
pub(super) struct Witness {
    /// Where it listens.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    leaves: LeafCache,
    // A std mutex: map operations, never over an await.
    seen: Mutex<BTreeMap<String, Seen>>,
}

impl Witness {
    /// Listens, with the CA of this home.
    pub(super) async fn start(home: &Home) -> Result<Self> {
        let leaves = LeafCache::new(CertificateAuthority::read(home)?).context("making the leaf key")?;
        let shared = Arc::new(Shared { leaves, seen: Mutex::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listening on loopback")?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(outside(stream, shared.clone()));
                }
            }
        });
        Ok(Self { address, shared, serving })
    }

    /// What was seen of the client with this user name.
    pub(super) fn seen(&self, user: &str) -> Seen {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(user).cloned().unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    /// A request is the last word; a failed handshake says more than an open tunnel.
    fn note(&self, user: &str, what: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(user.to_owned()).or_default();
        let opened = what == Seen::Tunnel(String::new());
        if *known != Seen::Request && !(opened && *known != Seen::Nothing) {
            *known = what;
        }
    }
}

/// The proxy's side of a connection.
async fn outside(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(tunnel(request, shared)) }
    });
    // A client that breaks off has said what it had to say.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn tunnel(request: Request<Incoming>, shared: Arc<Shared>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let Some(user) = request.headers().get(PROXY_AUTHORIZATION).and_then(user) else {
        *response.status_mut() = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        response.headers_mut().insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hudson\""));
        return response;
    };
    let host = request.uri().host().and_then(|host| Host::parse(host).ok());
    let (Some(host), &Method::CONNECT) = (host, request.method()) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    shared.note(&user, Seen::Tunnel(String::new()));
    tokio::spawn(async move {
        if let Ok(stream) = hyper::upgrade::on(request).await {
            inside(TokioIo::new(stream), &user, &host, &shared).await;
        }
    });
    response
}

/// The user name of Basic credentials.
fn user(value: &HeaderValue) -> Option<String> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
    let (user, _) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(user.to_owned())
}

/// The server's side of a tunnel.
async fn inside(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    user: &str,
    host: &Host,
    shared: &Shared,
) {
    let accepted = match shared.leaves.config(host, Alpn::Http1) {
        Ok(config) => TlsAcceptor::from(config).accept(stream).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => return shared.note(user, Seen::Tunnel(format!(" ({error})"))),
    };
    let service = service_fn(|_: Request<Incoming>| {
        shared.note(user, Seen::Request);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}"))) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
