//! Opaque tunnels: bytes pass unseen, but only to the host that CONNECT, the route and the ClientHello name.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{EchGreaseConfig, EchMode};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
use rustls::crypto::hpke::Hpke as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::raw::agent::until_closed;
use crate::raw::{self, Stage, Upstream};

const HOST: &str = "files.example.com";
const ROUTES: &str = "routes:\n  - host: files.example.com\n    intercept: false\n";
const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";

/// A client that trusts the upstream's own CA, not Hudson's.
fn trusting(stage: &Stage, builder: ConfigBuilder<ClientConfig, WantsVerifier>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(stage.world.simulator.ca_file()).expect("the CA is readable");
    roots.add(ca).expect("the CA is one");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVersions> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

/// A client of an opaque tunnel.
pub(crate) fn plain(stage: &Stage) -> ClientConfig {
    trusting(stage, builder().with_safe_default_protocol_versions().expect("the versions are known"))
}

#[test]
fn the_client_speaks_with_the_upstream_itself() {
    let stage = raw::routes(&format!("log: 2\n{ROUTES}")).start();
    let mut tls = stage.agent().tls_as(plain(&stage), &format!("{HOST}:443"), HOST).expect("TLS is taken");
    let answer = raw::ask(&mut tls, GET).passed();
    assert_eq!(answer.text(), "hello from the simulator\n");
    drop(tls);
    let event = stage.event("opaque_tunnel");
    assert_eq!(event["host"], HOST);
}

#[test]
fn a_hello_that_names_another_host_reaches_nobody() {
    let upstream = Upstream::echo();
    let routes = ROUTES.to_owned() + "  - host: other.example.com\n    intercept: false\n";
    let stage = raw::routes(&routes).connect_to(&format!("{HOST}:443"), upstream.address).start();
    for name in ["other.example.com", "evil.example.org"] {
        stage.agent().tls_as(plain(&stage), &format!("{HOST}:443"), name).expect_err("TLS is not taken");
    }
    assert_eq!(stage.event("tunnel_failed")["code"], "authority_mismatch");
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn a_hello_with_a_hidden_name_reaches_nobody() {
    let stage = raw::routes(ROUTES).start();
    let suite = DH_KEM_X25519_HKDF_SHA256_AES_128;
    let (key, _) = suite.generate_key_pair().expect("a key is made");
    let hidden = builder().with_ech(EchMode::Grease(EchGreaseConfig::new(suite, key)));
    let config = trusting(&stage, hidden.expect("the versions are known"));
    stage.agent().tls_as(config, &format!("{HOST}:443"), HOST).expect_err("TLS is not taken");
    let event = stage.event("tunnel_failed");
    assert!(event["reason"].as_str().is_some_and(|reason| reason.contains("encrypted name")), "{event}");
}

#[test]
fn what_is_no_tls_reaches_nobody() {
    let upstream = Upstream::echo();
    let stage = raw::routes(ROUTES).connect_to(&format!("{HOST}:443"), upstream.address).start();
    for bytes in ["POST /leak HTTP/1.1\r\nHost: files.example.com\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"] {
        let mut socket = stage.agent().tunnel(&format!("{HOST}:443"));
        socket.write_all(bytes.as_bytes()).expect("the proxy reads");
        until_closed(&mut socket).expect("the tunnel is closed");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn a_metered_host_is_never_opaque() {
    let metered = "routes:\n  - host: api.anthropic.com\n    intercept: false\n";
    let stage = raw::routes(metered).start();
    let outcome = stage.hudson(&["bottle", "add", "ci"]);
    outcome.exited(2);
    assert!(outcome.everything().contains("api.anthropic.com is a metered host"), "{outcome}");
    let file = stage.world.home().join("bottles/ci/routes.yaml");
    stage.hudson(&["check", &file.display().to_string()]).exited(2);

    // A wildcard names it too; that is found when the tunnel is opened.
    let wild = raw::routes("routes:\n  - host: '*.anthropic.com'\n    intercept: false\n").start();
    wild.agent().post("api.anthropic.com", "/v1/messages", "{}").refused(403, "unmetered_endpoint");
    assert_eq!(wild.arrived(), 0);
}

#[test]
fn an_opaque_tunnel_ends_with_its_route() {
    let stage = raw::routes(ROUTES).start();
    let mut open = stage.agent().tls_as(plain(&stage), &format!("{HOST}:443"), HOST).expect("TLS is taken");
    raw::ask(&mut open, GET).passed();
    // The same host, but what is said there is to be judged from now on.
    stage.world.configure("bottles/ci/routes.yaml", "routes:\n  - host: files.example.com\n");
    stage.event("configuration_reloaded");
    open.sock.set_read_timeout(Some(Duration::from_secs(3))).expect("a socket takes options");
    until_closed(&mut open.sock).expect("the tunnel is ended");
}

#[test]
fn an_opaque_tunnel_ends_when_the_bottle_is_cut_off() {
    let routes =
        ROUTES.to_owned() + "  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let stage = raw::routes(&routes)
        .env("THE_KEY", "tests-only-9fK2mP7qR4tW")
        .settings("budget: {claude: 1000}\n")
        .start();
    let agent = stage.agent();
    let mut open = agent.tls_as(plain(&stage), &format!("{HOST}:443"), HOST).expect("TLS is taken");
    raw::ask(&mut open, GET).passed();
    let spend = r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"spend"}]}"#;
    agent.post("api.anthropic.com", "/v1/messages", spend).passed();
    open.sock.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket takes options");
    until_closed(&mut open.sock).expect("the tunnel is ended within a second");
    // What is opened from now on is not opaque: the refusal has to be read by somebody.
    agent.get(HOST, "/hello.txt").refused(403, "bottle_cut_off");
}
