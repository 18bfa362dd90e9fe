//! One upstream client per run: its connections are pooled for that run alone and are all made by the dialer, under
//! the run's own routes.
//!
//! Invariant: no connection is shared between runs, and none is made that the dialer did not check. The connection
//! that a CONNECT dialled is parked here and used by the first request that needs one.

use crate::body::Body;
use crate::dial::{DialFault, Dialer, Target, UpstreamStream, Via};
use crate::policy;
use crate::run::Run;
use crate::secret;
use crate::tls::{UpstreamTls, UpstreamTlsError, Wire};
use http::{Request, Response, Uri};
use hudson_schema::config::{Authority, ClientCertificate, Host, HostPattern, Route, Scheme, Upstream};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tower_service::Service;

/// How long an idle connection may still be used.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection waits for the first request of the tunnel it was dialled for. Short: upstreams close what says
/// nothing, and a request on a closed connection is lost.
const PARKED: Duration = Duration::from_secs(5);
/// Connections of a run that wait so, over all hosts.
const PARKED_AT_ONCE: usize = 32;
/// What an upstream may send on one stream before the client takes it, in bytes: 20 MB/s at a round trip of 100 ms.
/// Windows do not grow: they are what a client that does not read makes the proxy keep.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Hosts of which a run remembers whether they take HTTP/1.1; of any more it is found out each time.
const HOSTS_KNOWN: usize = 1024;
/// Connections a run keeps idle for one host.
const IDLE_PER_HOST: usize = 16;

/// Sends a run's requests.
pub(crate) struct UpstreamClient {
    preferred: Client<Connector, Body>,
    http1: Client<Connector, Body>,
    connector: Connector,
}

#[derive(Clone)]
struct Connector {
    dialer: Arc<Dialer>,
    // Weak: the client lives in the run, and must not keep it alive.
    run: Weak<Run>,
    wire: Wire,
    // A std mutex: never held over an await.
    parked: Arc<Mutex<Parked>>,
}

#[derive(Default)]
struct Parked {
    streams: HashMap<Key, Vec<(Instant, UpstreamStream)>>,
    /// Whether the host spoke HTTP/2 when last dialled, and when that was.
    http2: HashMap<Key, (Instant, bool)>,
    /// Whether the host was found to take HTTP/1.1 where it was offered nothing else.
    takes_http1: HashMap<Key, bool>,
    tls: HashMap<TlsFiles, UpstreamTls>,
}

/// The files by which a route's TLS differs from that of others.
type TlsFiles = (Option<PathBuf>, Option<ClientCertificate>);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl UpstreamClient {
    pub(crate) fn new(dialer: Arc<Dialer>, run: Weak<Run>) -> Self {
        let connector = Connector { dialer, run, wire: Wire::Preferred, parked: Arc::default() };
        let client = |wire| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_PER_HOST)
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW)
                .build(Connector { wire, ..connector.clone() })
        };
        Self { preferred: client(Wire::Preferred), http1: client(Wire::Http1), connector }
    }

    /// Makes sure that a host can be reached before its CONNECT is answered; whether it speaks HTTP/2.
    ///
    /// A host that was reached a moment ago is not dialled again: its connection is still pooled or parked.
    pub(crate) async fn prepare(&self, scheme: Scheme, host: &Host, port: u16) -> Result<bool, DialFault> {
        let key = Key { scheme, host: host.clone(), port };
        if let Some(http2) = self.connector.lock().recent(&key) {
            return Ok(http2);
        }
        let stream = self.connector.dial(&key).await?;
        let http2 = stream.is_http2();
        self.connector.lock().park(key, stream);
        Ok(http2)
    }

    /// Connects to a host and says nothing: for a tunnel that is not intercepted.
    pub(crate) async fn connect(&self, host: &Host, port: u16) -> Result<TcpStream, DialFault> {
        let key = Key { scheme: Scheme::Https, host: host.clone(), port };
        let Connector { dialer, .. } = &self.connector;
        self.connector.dialled(&key, async |target| dialer.connect(&target).await).await
    }

    /// What a large upload is best sent over: HTTP/1.1, which copies a body with half the work, where the host takes it.
    pub(crate) async fn wire_for_upload(&self, scheme: Scheme, host: &Host, port: u16) -> Wire {
        let key = Key { scheme, host: host.clone(), port };
        let known = self.connector.lock().takes_http1.get(&key).copied();
        let takes = match known {
            Some(takes) => takes,
            // Found out once, on a connection of its own: a refused handshake must not cost a request that has begun.
            None => {
                let connector = Connector { wire: Wire::Http1, ..self.connector.clone() };
                let dialled = connector.dial(&key).await;
                let mut parked = self.connector.lock();
                let takes = dialled.is_ok();
                // Any other failure says nothing about the host's taste.
                let told = takes || matches!(dialled, Err(DialFault::Tls { .. }));
                if told && parked.takes_http1.len() < HOSTS_KNOWN {
                    parked.takes_http1.insert(key.clone(), takes);
                }
                if let Ok(stream) = dialled {
                    parked.park(key, stream);
                }
                takes
            }
        };
        if takes { Wire::Http1 } else { Wire::Preferred }
    }

    /// Sends a request whose URI is absolute.
    pub(crate) async fn send(&self, request: Request<Body>, wire: Wire) -> Result<Response<Incoming>, Error> {
        match wire {
            Wire::Preferred => self.preferred.request(request).await,
            Wire::Http1 => self.http1.request(request).await,
        }
    }
}

/// The dial fault inside a client's error, if that is what it was.
pub(crate) fn dial_fault(error: &Error) -> Option<&DialFault> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(fault) = error.downcast_ref::<DialFault>() {
            return Some(fault);
        }
        source = error.source();
    }
    None
}

/// Whether a failed request provably never started: its connection closed before anything of it was written.
pub(crate) fn is_unsent(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        if error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM) {
            return true;
        }
        source = error.source();
    }
    error.is_connect()
}

impl Connector {
    fn lock(&self) -> std::sync::MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self, key: &Key) -> Result<UpstreamStream, DialFault> {
        let stream = self.dialled(key, async |target| self.dialer.dial(target).await).await?;
        if self.wire == Wire::Preferred {
            let mut parked = self.lock();
            parked.sweep();
            parked.http2.insert(key.clone(), (Instant::now(), stream.is_http2()));
        }
        Ok(stream)
    }

    /// Dials as the route says that leads to the host at this moment.
    async fn dialled<T>(
        &self,
        key: &Key,
        dial: impl AsyncFnOnce(Target<'_>) -> Result<T, DialFault>,
    ) -> Result<T, DialFault> {
        let host = key.host.to_string();
        let no_route = || DialFault::NoRoute { host: host.clone() };
        let run = self.run.upgrade().ok_or_else(no_route)?;
        let routes = run.policy();
        let routes = policy::routes_to(&routes.routes, key.scheme, &key.host, key.port);
        // A host that a person has opened for one request is dialled as one whose route says nothing.
        let authority = Authority { host: key.host.clone(), port: key.port };
        let opened = Route::new(HostPattern::Exact(key.host.clone()));
        let route = match routes.first() {
            Some(route) => *route,
            None if run.is_open(key.scheme, &authority) => &opened,
            None => return Err(no_route()),
        };
        let upstream = route.upstream.as_ref();
        let tls = self.tls(upstream, &key.host)?;
        let proxy = upstream.and_then(|upstream| upstream.proxy.as_ref());
        let authorization = match proxy.and_then(|proxy| proxy.credentials.as_ref()) {
            Some(credentials) => {
                let password = secret::read(&run, &credentials.from).await.map_err(|why| {
                    let why = format!("the password for the upstream proxy cannot be read: {why}");
                    DialFault::Credential { host: host.clone(), why }
                })?;
                Some(secret::basic(&credentials.username, &password))
            }
            None => None,
        };
        let authorization = authorization.as_ref();
        dial(Target {
            scheme: key.scheme,
            host: &key.host,
            port: key.port,
            wire: self.wire,
            allow: &route.allow_addresses,
            tls: tls.as_ref(),
            connect_to: upstream.and_then(|upstream| upstream.connect_to.as_ref()),
            proxy: proxy.map(|proxy| Via { authority: &proxy.authority, authorization }),
        })
        .await
    }

    /// TLS with the route's own files, where it has any.
    fn tls(&self, upstream: Option<&Upstream>, host: &Host) -> Result<Option<UpstreamTls>, DialFault> {
        let Some(upstream) = upstream else { return Ok(None) };
        let files = (upstream.ca_file.clone(), upstream.client_certificate.clone());
        if files == (None, None) {
            return Ok(None);
        }
        if let Some(tls) = self.lock().tls.get(&files) {
            return Ok(Some(tls.clone()));
        }
        let fault = |error: UpstreamTlsError| match error {
            UpstreamTlsError::ClientCertificate { .. } => {
                DialFault::Credential { host: host.to_string(), why: error.to_string() }
            }
            error => DialFault::Tls { host: host.to_string(), error: io::Error::other(error) },
        };
        let mut tls = match &files.0 {
            Some(path) => UpstreamTls::only(path).map_err(fault)?,
            None => self.dialer.tls.clone(),
        };
        if let Some(certificate) = &files.1 {
            tls = tls.with_client_certificate(certificate).map_err(fault)?;
        }
        self.lock().tls.insert(files, tls.clone());
        Ok(Some(tls))
    }
}

impl Parked {
    fn recent(&self, key: &Key) -> Option<bool> {
        self.http2.get(key).filter(|(when, _)| when.elapsed() < PARKED).map(|(_, http2)| *http2)
    }

    fn park(&mut self, key: Key, stream: UpstreamStream) {
        self.sweep();
        if self.streams.values().map(Vec::len).sum::<usize>() >= PARKED_AT_ONCE {
            // Dropped, not kept: the request dials anew.
            return;
        }
        self.streams.entry(key).or_default().push((Instant::now(), stream));
    }

    /// Forgets what is too old, so that an agent that walks through names leaves nothing behind.
    fn sweep(&mut self) {
        self.streams.retain(|_, streams| {
            streams.retain(|(when, _)| when.elapsed() < PARKED);
            !streams.is_empty()
        });
        self.http2.retain(|_, (when, _)| when.elapsed() < IDLE);
    }

    fn take(&mut self, key: &Key, wire: Wire) -> Option<UpstreamStream> {
        let streams = self.streams.get_mut(key)?;
        streams.retain(|(when, _)| when.elapsed() < PARKED);
        let fits = |stream: &UpstreamStream| wire == Wire::Preferred || !stream.is_http2();
        let place = streams.iter().rposition(|(_, stream)| fits(stream))?;
        Some(streams.swap_remove(place).1)
    }
}

impl Service<Uri> for Connector {
    type Response = UpstreamStream;
    type Error = DialFault;
    type Future = Pin<Box<dyn Future<Output = Result<UpstreamStream, DialFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let key = key(&uri).ok_or(DialFault::NoRoute { host })?;
            let parked = connector.lock().take(&key, connector.wire);
            match parked {
                Some(stream) => Ok(stream),
                None => connector.dial(&key).await,
            }
        })
    }
}

fn key(uri: &Uri) -> Option<Key> {
    let scheme = match uri.scheme_str()? {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let host = Host::parse(uri.host()?).ok()?;
    Some(Key { scheme, host, port: uri.port_u16().unwrap_or(scheme.port()) })
}

impl Connection for UpstreamStream {
    fn connected(&self) -> Connected {
        match self {
            // The request line names the host: the corporate proxy sends it on.
            Self::Forwarded(_) => Connected::new().proxy(true),
            Self::Plain(_) => Connected::new(),
            Self::Tls(_) if self.is_http2() => Connected::new().negotiated_h2(),
            Self::Tls(_) => Connected::new(),
        }
    }
}

impl Read for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Forwarded(stream) => {
                Pin::new(&mut TokioIo::new(stream)).poll_read(cx, buf)
            }
            Self::Tls(stream) => Pin::new(&mut TokioIo::new(stream.as_mut())).poll_read(cx, buf),
        }
    }
}

impl Write for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Forwarded(stream) => {
                Pin::new(&mut TokioIo::new(stream)).poll_write(cx, buf)
            }
            Self::Tls(stream) => Pin::new(&mut TokioIo::new(stream.as_mut())).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Forwarded(stream) => {
                Pin::new(&mut TokioIo::new(stream)).poll_flush(cx)
            }
            Self::Tls(stream) => Pin::new(&mut TokioIo::new(stream.as_mut())).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Forwarded(stream) => {
                Pin::new(&mut TokioIo::new(stream)).poll_shutdown(cx)
            }
            Self::Tls(stream) => Pin::new(&mut TokioIo::new(stream.as_mut())).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) | Self::Forwarded(stream) => tokio::io::AsyncWrite::is_write_vectored(stream),
            Self::Tls(stream) => tokio::io::AsyncWrite::is_write_vectored(stream.as_ref()),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Forwarded(stream) => {
                Pin::new(&mut TokioIo::new(stream)).poll_write_vectored(cx, bufs)
            }
            Self::Tls(stream) => Pin::new(&mut TokioIo::new(stream.as_mut())).poll_write_vectored(cx, bufs),
        }
    }
}
