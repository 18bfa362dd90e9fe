//! A proxy in this process with one run, and a client of it.

// A scene that cannot be set up ends its test.
#![allow(clippy::panic, clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hudson_dlp::HashKey;
use hudson_meter::Catalogue;
use hudson_proxy::dial::{DialLimits, Dialer};
use hudson_proxy::dlp::{Dlp, Setup};
use hudson_proxy::identity::{Password, Presented};
use hudson_proxy::tls::{CertificateAuthority, LeafCache, UpstreamTls};
use hudson_proxy::tunnel::TunnelLimits;
use hudson_proxy::{
    Event, EventSink, Listener, OwnListeners, PlaceLimits, Proxy, ProxyLimits, ProxyParts, Run, RunPolicy,
    RunSource,
};
use hudson_schema::budget::{Cutoff, Mode, Precedence, Weights, WindowClock};
use hudson_schema::config::{OnUnscannable, Routes};
use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{LedgerError, SharedLedger};
use hudson_schema::{Policy, RunId};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const HOST: &str = "a.example.com";
/// What no log may have.
pub(crate) const SECRET: &str = "hunter2-in-a-payload";

/// Reports everything, and fails at one path.
#[derive(Default)]
pub(crate) struct Sink(Mutex<Vec<String>>);

impl EventSink for Sink {
    fn emit(&self, event: Event) {
        if matches!(&event, Event::Refusal { path, .. } if path == "/fault") {
            panic!("{SECRET}");
        }
        self.0.lock().unwrap().push(serde_json::to_string(&event).unwrap());
    }
}

impl Sink {
    /// Everything that was told, a line each.
    pub(crate) fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) async fn panicked(&self) -> serde_json::Value {
        for _ in 0..500 {
            let seen = self.0.lock().unwrap().clone();
            if let Some(event) = seen.iter().find(|event| event.contains("task_panicked")) {
                assert!(!seen.iter().any(|event| event.contains(SECRET)));
                return serde_json::from_str(event).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no panic is reported: {:?}", self.0.lock().unwrap());
    }
}

/// Knows one run, and fails at a name.
struct OneRun(Arc<Run>);

#[async_trait]
impl RunSource for OneRun {
    async fn run(&self, presented: &Presented) -> Result<Option<Arc<Run>>, LedgerError> {
        assert_ne!(presented.run.as_str(), "fault", "{SECRET}");
        Ok(self.0.is_named_by(presented).then(|| self.0.clone()))
    }
}

pub(crate) struct Scene {
    pub(crate) sink: Arc<Sink>,
    address: SocketAddr,
    credentials: String,
    tls: Arc<ClientConfig>,
    pub(crate) proxy: Proxy,
    _home: tempfile::TempDir,
}

fn limits() -> ProxyLimits {
    let time = Duration::from_secs(10);
    ProxyLimits {
        tunnels: TunnelLimits { total: 9, per_bottle: 9 },
        places: PlaceLimits { total: 9, per_address: 9, per_bottle: 9 },
        header: time,
        body: time,
        tls: time,
        response: time,
        idle: time,
        header_bytes: 1 << 16,
        headers: 100,
        streams: 9,
        pending_resets: 9,
        body_bytes: 1 << 20,
        detached: 9,
        detached_time: time,
        refuse_connect: false,
    }
}

/// What a proxy looks for without a word from an operator.
fn setup() -> Setup {
    Setup {
        policy: hudson_dlp::Policy::builtin(HashKey::new([7; 32])).unwrap(),
        suppressions: Vec::new(),
        thresholds: BTreeMap::new(),
        on_canary: Policy::Cutoff,
        on_unscannable: OnUnscannable::Block,
        buffer_limit: 1 << 20,
    }
}

/// A proxy with one run that has these routes, on a ledger that is looked at.
pub(crate) async fn scene(routes: Routes, looked_at: impl FnOnce(SharedLedger) -> SharedLedger) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let authority = CertificateAuthority::open(&home).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let policy = RunPolicy {
        routes,
        budgets: Vec::new(),
        precedence: Precedence::default(),
        mode: Mode::default(),
        on_exhausted: Policy::Cutoff,
        cutoff: Cutoff::default(),
        min_output: 1,
        count_tokens: None,
        warn_at: Vec::new(),
        budget_header: false,
        weights: Weights::default(),
        clock: WindowClock::new("UTC").unwrap(),
        known: Vec::new(),
    };
    let ledger: SharedLedger = Arc::new(SqliteLedger::open(&home.ledger(), &home.owners()).unwrap());
    let password = Password::generate().unwrap();
    let id: RunId = "r1".parse().unwrap();
    let run = Run::new(id, "ci".parse().unwrap(), password.hash, HashMap::new(), policy);
    let (sink, own) = (Arc::<Sink>::default(), OwnListeners::default());
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &own).await.unwrap();
    let address = listener.address().tcp().unwrap();
    let time = Duration::from_secs(10);
    let proxy = Proxy::new(ProxyParts {
        ledger: looked_at(ledger),
        runs: Arc::new(OneRun(Arc::new(run))),
        catalogue: Catalogue::builtin(),
        approvals: None,
        events: sink.clone(),
        dlp: Arc::new(Dlp::new(setup()).unwrap()),
        confirm: None,
        leaves: LeafCache::new(authority).unwrap(),
        dialer: Dialer {
            connect_to: Vec::new(),
            own,
            resolver: Default::default(),
            tls: UpstreamTls::new([]).unwrap(),
            limits: DialLimits { connect: time, tls: time },
        },
        limits: limits(),
    });
    tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.serve(listener).await }
    });
    let credentials = format!("r1:{}", password.secret.expose_secret());
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    Scene { sink, address, credentials, tls, proxy, _home: folder }
}

impl Scene {
    #[allow(clippy::disallowed_methods, reason = "the test is the client, and dials the proxy")]
    pub(crate) async fn connect(&self, credentials: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let identity = base64::engine::general_purpose::STANDARD.encode(credentials);
        let head = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n");
        let head = format!("{head}Proxy-Authorization: Basic {identity}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket
    }

    /// The status of the answer to a plain request through the proxy.
    #[allow(clippy::disallowed_methods, reason = "the test is the client, and dials the proxy")]
    pub(crate) async fn plain(&self, path: &str) -> u16 {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let identity = base64::engine::general_purpose::STANDARD.encode(&self.credentials);
        let head = format!("GET http://{HOST}{path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n");
        let head = format!("{head}Proxy-Authorization: Basic {identity}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) async fn tunnel(&self, alpn: &[u8]) -> TokioIo<TlsStream<TcpStream>> {
        let mut socket = self.connect(&self.credentials).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let mut config = (*self.tls).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        TokioIo::new(connector.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap())
    }
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://{HOST}{path}")).header("host", HOST).body(Empty::new()).unwrap()
}
