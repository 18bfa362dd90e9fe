//! An origin of the test's own: hyper over TLS, in the version it is told to offer, answering with a closure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hudson_tests::simulator::Authority;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::scene::{Version, in_time};

type Answer =
    Box<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// A running origin; it lives in the test's runtime.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    tls: rustls::ServerConfig,
    /// Its connections end gracefully when the value changes.
    retire: watch::Sender<()>,
    folder: TempDir,
}

struct Shared {
    acceptor: Mutex<TlsAcceptor>,
    answer: Answer,
    /// The version of each request that has arrived.
    versions: Mutex<Vec<http::Version>>,
    /// How many connections are open.
    open: watch::Sender<usize>,
}

impl Origin {
    /// Starts an origin that offers these protocols, and answers so.
    pub(super) async fn start<R>(
        offers: &[&[u8]],
        answer: impl Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let authority = Authority::generate().expect("a CA can be made");
        std::fs::write(folder.path().join("ca.pem"), authority.ca_pem()).expect("a scratch directory");
        let tls = authority.server_config().expect("TLS can be configured");
        let tls = Arc::unwrap_or_clone(tls);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            acceptor: Mutex::new(acceptor(&tls, offers)),
            answer: Box::new(move |request| Box::pin(answer(request))),
            versions: Mutex::default(),
            open: watch::Sender::new(0),
        });
        let retire = watch::Sender::new(());
        tokio::spawn(accept(listener, shared.clone(), retire.subscribe()));
        Self { address, shared, tls, retire, folder }
    }

    /// Its TLS, for a server that offers one version alone.
    pub(super) fn acceptor(&self, version: Version) -> TlsAcceptor {
        acceptor(&self.tls, &[version.alpn()])
    }

    /// The certificate of its CA.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Offers this version alone from now on; what is open ends first.
    pub(super) async fn speak(&self, version: Version) {
        *self.shared.acceptor.lock().expect("no holder panics") = self.acceptor(version);
        self.retire.send_replace(());
        self.closed().await;
    }

    /// Waits until no connection is open.
    pub(super) async fn closed(&self) {
        let mut open = self.shared.open.subscribe();
        in_time(open.wait_for(|open| *open == 0)).await.expect("the origin still runs");
    }

    /// The version in which the last request arrived.
    pub(super) fn last_version(&self) -> Option<http::Version> {
        self.shared.versions.lock().expect("no holder panics").last().copied()
    }

    /// How many requests have arrived.
    pub(super) fn arrived(&self) -> usize {
        self.shared.versions.lock().expect("no holder panics").len()
    }
}

fn acceptor(tls: &rustls::ServerConfig, offers: &[&[u8]]) -> TlsAcceptor {
    let mut tls = tls.clone();
    tls.alpn_protocols = offers.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(tls))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, retire: watch::Receiver<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, mut retire) = (shared.clone(), retire.clone());
        retire.mark_unchanged();
        tokio::spawn(async move {
            shared.open.send_modify(|open| *open += 1);
            // A proxy that breaks off is what some tests are about.
            connection(stream, &shared, retire).await.ok();
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn connection(
    stream: TcpStream,
    shared: &Arc<Shared>,
    mut retire: watch::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let acceptor = shared.acceptor.lock().expect("no holder panics").clone();
    let stream = acceptor.accept(stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let answering = shared.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        answering.versions.lock().expect("no holder panics").push(request.version());
        let answer = (answering.answer)(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let io = TokioIo::new(stream);
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let mut serving = std::pin::pin!(builder.adaptive_window(true).serve_connection(io, service));
        tokio::select! {
            ended = serving.as_mut() => ended?,
            _ = retire.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await?;
            }
        }
    } else {
        let mut serving = std::pin::pin!(http1::Builder::new().serve_connection(io, service));
        tokio::select! {
            ended = serving.as_mut() => ended?,
            _ = retire.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await?;
            }
        }
    }
    Ok(())
}
