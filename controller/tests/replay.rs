//! `hudson replay` as clients see it: TLS for any name, HTTP/1.1 and HTTP/2, bodies byte for byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const STREAM: &str = "event: a\ndata: {\"x\":1}\n\nevent: b\ndata: {\"x\":2}\n\n";

fn recordings() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("f")).unwrap();
    fs::write(folder.path().join("f/one.body"), STREAM).unwrap();
    fs::write(folder.path().join("f/two.body"), "{\"error\":1}").unwrap();
    let manifest = concat!(
        r#"{"id":"one","family":"f","framing":"sse","host":"anthropic","method":"POST","target":"/v1/messages","#,
        r#""content_type":"text/event-stream","status":200}"#,
        "\n",
        r#"{"id":"two","family":"f","host":"api.openai.com","method":"POST","target":"/v1/responses","status":"429 Slow"}"#,
        "\n",
    );
    fs::write(folder.path().join("manifest.jsonl"), manifest).unwrap();
    folder
}

/// A replay server that ends with the test.
struct Replay(Child, Value);

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, extra: &[&str]) -> Replay {
    let ready = folder.join("ready.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
    command.arg("--home").arg(folder.join("home")).arg("replay").arg(folder).arg("--ready-file").arg(&ready);
    command.arg("--ca-file").arg(folder.join("ca.pem")).args(extra).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(&ready) {
            return Replay(child, serde_json::from_str(&text).unwrap());
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(started.elapsed() < Duration::from_secs(20), "it is not ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One POST: status, recording's id, body.
async fn post(
    replay: &Replay,
    host: &str,
    target: &str,
    http2: bool,
    id: Option<&str>,
) -> (StatusCode, String, Bytes) {
    let pem = fs::read(replay.1["ca_file"].as_str().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(hudson_proxy::tls::crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let address: std::net::SocketAddr = replay.1["address"].as_str().unwrap().parse().unwrap();
    #[allow(clippy::disallowed_methods, reason = "a test's own server on loopback")]
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let mut request = Request::post(format!("https://{host}{target}")).header("host", host);
    if let Some(id) = id {
        request = request.header("x-hudson-replay", id);
    }
    let request = request.body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.uri = target.parse().unwrap();
        sender.send_request(Request::from_parts(parts, body)).await.unwrap()
    };
    let status = response.status();
    let id = response.headers().get("x-hudson-replay").map_or("", |id| id.to_str().unwrap()).to_owned();
    (status, id, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn recordings_are_played_byte_for_byte() {
    let folder = recordings();
    let replay = start(folder.path(), &[]);
    assert_eq!(replay.1["streams"], 2);
    for http2 in [false, true] {
        let (status, id, body) =
            post(&replay, "api.anthropic.com", "/v1/messages?beta=true", http2, None).await;
        assert_eq!((status, id.as_str(), body.as_ref()), (StatusCode::OK, "one", STREAM.as_bytes()));
        let (status, id, _) = post(&replay, "api.openai.com", "/v1/responses", http2, None).await;
        assert_eq!((status.as_u16(), id.as_str()), (429, "two"));
        let (status, id, _) = post(&replay, "any.test", "/", http2, Some("one")).await;
        assert_eq!((status, id.as_str()), (StatusCode::OK, "one"));
        let (status, _, body) = post(&replay, "api.openai.com", "/v1/other", http2, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["recordings"].as_array().unwrap().len(), 2, "{body}");
    }
}

#[tokio::test]
async fn events_are_paced_and_a_signal_is_a_good_end() {
    let folder = recordings();
    let mut replay = start(folder.path(), &["--gap", "300"]);
    let started = Instant::now();
    post(&replay, "api.anthropic.com", "/v1/messages", true, None).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    let pid = nix::unistd::Pid::from_raw(replay.0.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(replay.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_bad_manifest_is_named_by_its_line() {
    let folder = recordings();
    let path = folder.path().join("manifest.jsonl");
    let text = fs::read_to_string(&path).unwrap() + "{\"id\": 3}\n";
    fs::write(&path, text).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_hudson")).arg("replay").arg(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("manifest.jsonl:3: "), "{error}");
}
