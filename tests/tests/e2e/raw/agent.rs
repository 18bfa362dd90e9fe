//! An agent that writes its own bytes: sockets, CONNECT, TLS and HTTP/1.1 by hand, HTTP/2 by hyper.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::answer::{Answer, read_answer};

/// Nothing here may hang a test for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A TLS connection inside a tunnel.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// An HTTP/2 connection inside a tunnel.
pub(crate) struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

/// Someone with a bottle's credentials.
#[derive(Clone)]
pub(crate) struct Agent {
    proxy: SocketAddr,
    /// `user:password` as the proxy URL has it.
    pub(crate) credentials: String,
    roots: Arc<RootCertStore>,
}

impl Agent {
    pub(crate) fn new(proxy: SocketAddr, told: &Value, ca: &Path) -> Self {
        let url = told["proxy_url"].as_str().expect("a proxy URL is told");
        let credentials = url.strip_prefix("http://").and_then(|rest| rest.split_once('@'));
        let (credentials, _) = credentials.expect("the proxy URL has credentials");
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(ca).expect("the CA's certificate is readable");
        roots.add(certificate).expect("the CA's certificate is one");
        Self { proxy, credentials: credentials.to_owned(), roots: Arc::new(roots) }
    }

    /// The line that says who this is.
    pub(crate) fn identity(&self) -> String {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(&self.credentials))
    }

    /// The same agent with other credentials.
    pub(crate) fn with_credentials(&self, credentials: &str) -> Self {
        Self { credentials: credentials.to_owned(), ..self.clone() }
    }

    /// The same agent before another proxy.
    pub(crate) fn at(&self, proxy: SocketAddr) -> Self {
        Self { proxy, ..self.clone() }
    }

    /// A connection to the proxy.
    pub(crate) fn socket(&self) -> TcpStream {
        self.try_socket().expect("the proxy listens")
    }

    /// A connection to the proxy, if it still listens.
    #[allow(clippy::disallowed_methods, reason = "the test is the client, and dials the proxy")]
    pub(crate) fn try_socket(&self) -> Option<TcpStream> {
        let socket = TcpStream::connect(self.proxy).ok()?;
        socket.set_nodelay(true).expect("a socket takes options");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket takes options");
        Some(socket)
    }

    /// CONNECT, and what the proxy says to it.
    pub(crate) fn connect(&self, authority: &str) -> (Answer, TcpStream) {
        let mut socket = self.socket();
        let answer = self.connect_on(&mut socket, authority);
        (answer, socket)
    }

    /// CONNECT on a socket that is open already.
    pub(crate) fn connect_on(&self, socket: &mut TcpStream, authority: &str) -> Answer {
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", self.identity());
        socket.write_all(head.as_bytes()).expect("the proxy reads");
        read_answer(socket, true).expect("CONNECT is answered")
    }

    /// A tunnel, without TLS yet.
    #[track_caller]
    pub(crate) fn tunnel(&self, authority: &str) -> TcpStream {
        let (answer, socket) = self.connect(authority);
        assert_eq!(answer.status, 200, "CONNECT {authority}: {answer}");
        socket
    }

    /// How this agent speaks TLS: it trusts Hudson's CA alone.
    pub(crate) fn tls_config(&self, alpn: &[&[u8]]) -> ClientConfig {
        self.tls_versions(alpn, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn tls_versions(
        &self,
        alpn: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.expect("the provider knows these versions");
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// The certificate authorities this agent trusts.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// TLS in a tunnel: `name` in the hello, as this configuration says.
    pub(crate) fn tls_as(&self, config: ClientConfig, authority: &str, name: &str) -> io::Result<Tls> {
        let mut socket = self.tunnel(authority);
        let mut tls = client(config, name);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(tls, socket))
    }

    /// TLS in a tunnel to a host's port 443, for HTTP/1.1.
    #[track_caller]
    pub(crate) fn tls(&self, host: &str) -> Tls {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        self.tls_as(self.tls_config(&[b"http/1.1"]), &format!("{host}:443"), name)
            .unwrap_or_else(|error| panic!("TLS to {host}: {error}"))
    }

    /// Sends an HTTP/1.1 request as it stands through a tunnel to a host.
    #[track_caller]
    pub(crate) fn send(&self, host: &str, request: &str) -> Answer {
        ask(&mut self.tls(host), request)
    }

    /// GET over HTTP/1.1.
    #[track_caller]
    pub(crate) fn get(&self, host: &str, path: &str) -> Answer {
        self.get_with(host, path, "")
    }

    /// GET with more header lines.
    #[track_caller]
    pub(crate) fn get_with(&self, host: &str, path: &str, headers: &str) -> Answer {
        self.send(host, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"))
    }

    /// POST of JSON over HTTP/1.1.
    #[track_caller]
    pub(crate) fn post(&self, host: &str, path: &str, body: &str) -> Answer {
        self.send(host, &post(host, path, "", body))
    }

    /// A request to the proxy itself, on a connection of its own.
    #[track_caller]
    pub(crate) fn plain(&self, method: &str, url: &str, headers: &str) -> Answer {
        ask(&mut self.socket(), &self.absolute(method, url, headers))
    }

    /// The same as text: a request in absolute-form.
    pub(crate) fn absolute(&self, method: &str, url: &str, headers: &str) -> String {
        let host = url.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next());
        let (host, identity) = (host.unwrap_or_default(), self.identity());
        format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{identity}{headers}\r\n")
    }

    /// Requests over one HTTP/2 connection, one after the other.
    pub(crate) fn http2(&self, host: &str, requests: Vec<Request<Full<Bytes>>>) -> Vec<Answer> {
        let mut http2 = self.http2_open(host);
        requests.into_iter().map(|request| http2.ask(request)).collect()
    }

    /// An HTTP/2 connection to a host.
    #[track_caller]
    pub(crate) fn http2_open(&self, host: &str) -> Http2 {
        let socket = self.tunnel(&format!("{host}:443"));
        // A thread of its own answers what the proxy says, also while the test does something else.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let config = Arc::new(self.tls_config(&[b"h2"]));
        let name = ServerName::try_from(host.to_owned()).expect("a host is a server name");
        let (sender, connection) = runtime.block_on(async move {
            socket.set_nonblocking(true).expect("a socket takes options");
            let socket = tokio::net::TcpStream::from_std(socket).expect("a socket is one");
            let tls = tokio_rustls::TlsConnector::from(config).connect(name, socket).await;
            let tls = tls.expect("TLS is taken");
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is not offered");
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls));
            let (sender, connection) = handshake.await.expect("HTTP/2 is spoken");
            (sender, tokio::spawn(connection))
        });
        Http2 { runtime, sender, connection }
    }

    /// One request over HTTP/2.
    pub(crate) fn http2_one(&self, host: &str, request: Request<Full<Bytes>>) -> Answer {
        self.http2(host, vec![request]).remove(0)
    }
}

impl Http2 {
    /// Sends a request and waits for the head of its answer.
    #[track_caller]
    pub(crate) fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let asked = format!("{request:?}");
        let sending = self.sender.send_request(request);
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, sending).await });
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {asked}"));
        answer.unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    /// Reads a body to its end, or to the error that ends it.
    #[track_caller]
    pub(crate) fn body(&self, body: Incoming) -> hyper::Result<Bytes> {
        let reading = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, body.collect()).await });
        Ok(reading.expect("the body neither ends nor breaks off")?.to_bytes())
    }

    /// A request and its whole answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.send(request).into_parts();
        let body = self.body(body).unwrap_or_else(|error| panic!("{parts:?}: {error}"));
        Answer::of(&parts, body)
    }

    /// Whether the connection ends within this time.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let Self { runtime, connection, .. } = self;
        runtime.block_on(async { tokio::time::timeout(limit, connection).await }).is_ok()
    }
}

/// The client's side of TLS for this name.
pub(crate) fn client(config: ClientConfig, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("the name is a server name");
    ClientConnection::new(Arc::new(config), name).expect("the configuration is sound")
}

/// Writes a request and reads its answer.
#[track_caller]
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("{request}: {error}"));
    read_answer(stream, request.starts_with("HEAD ")).unwrap_or_else(|error| panic!("{request}: {error}"))
}

/// A POST of JSON as it goes over the wire.
pub(crate) fn post(host: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// A request for HTTP/2.
pub(crate) fn request(method: &str, uri: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("the request is one")
}

/// Everything until the other side closes, or nothing more comes for too long.
pub(crate) fn until_closed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => Ok(all),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset) => Ok(all),
        Err(error) => Err(error),
    }
}
