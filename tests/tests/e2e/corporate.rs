//! Corporate networks: upstreams behind a proxy, with a private CA, or asking for a client certificate.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::raw::corporate::Corporate;
use crate::raw::{self, Setting, Upstream};

const HOST: &str = "api.example.net";
const PASSWORD: &str = "tests-only-Wq81corporate";

/// A stage whose one route goes through a corporate proxy, which leads to the simulator.
fn behind(more: &str, wanted: Option<&str>) -> (Setting, Corporate) {
    let stage = raw::stage();
    let corporate = Corporate::start(stage.simulator(), wanted);
    let ca = stage.simulator_ca();
    let routes = format!(
        "routes:\n  - host: {HOST}\n    upstream: {{proxy: \"http://{}\", ca_file: \"{ca}\"{more}}}\n",
        corporate.address
    );
    (stage.file("bottles/ci/routes.yaml", &routes), corporate)
}

const CREDENTIALS: &str = ", proxy_credentials: {username: hudson, from: {env: CORPORATE}}";

#[test]
fn a_host_is_reached_through_the_corporate_proxy_and_its_tls_is_still_verified() {
    let (setting, corporate) = behind("", None);
    let stage = setting.start();
    stage.agent().get(HOST, "/hello.txt").passed();
    let seen = corporate.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n")), "{seen:?}");
    assert!(!seen[0].to_lowercase().contains("authorization"), "the bottle's credentials leaked: {seen:?}");
    let journal = stage.world.simulator.journal().entries();
    assert_eq!(journal.len(), 1);
}

#[test]
fn hudson_says_who_it_is_to_the_proxy_and_to_nobody_else() {
    let (setting, corporate) = behind(CREDENTIALS, Some(&format!("hudson:{PASSWORD}")));
    let stage = setting.env("CORPORATE", PASSWORD).start();
    stage.agent().get(HOST, "/hello.txt").passed();
    assert_eq!(corporate.seen().len(), 1);
    let journal = format!("{:?}", stage.world.simulator.journal().entries());
    assert!(!journal.to_lowercase().contains("proxy-authorization"), "{journal}");
    assert!(!stage.log().contains(PASSWORD));
}

#[test]
fn a_proxy_that_refuses_is_named_with_what_to_do() {
    let (setting, _corporate) = behind(CREDENTIALS, Some("hudson:another"));
    let stage = setting.env("CORPORATE", PASSWORD).start();
    let (answer, _) = stage.agent().connect(&format!("{HOST}:443"));
    let answer = answer.refused(502, "upstream_unreachable");
    let answer = answer.says("upstream proxy 127.0.0.1").says("proxy_credentials");
    assert!(!format!("{answer}{}", stage.log()).contains(PASSWORD));
}

#[test]
fn a_password_that_cannot_be_read_refuses_rather_than_going_without() {
    let (setting, corporate) = behind(CREDENTIALS, None);
    let stage = setting.start();
    stage.agent().get(HOST, "/hello.txt").refused(403, "credential_unavailable").says("CORPORATE");
    assert_eq!(corporate.seen().len(), 0, "the proxy was asked without credentials");
}

#[test]
fn plain_http_is_handed_to_the_proxy_whole() {
    let stage = raw::stage();
    let corporate = Corporate::start(stage.simulator(), Some(&format!("hudson:{PASSWORD}")));
    let upstream = format!("upstream: {{proxy: \"http://{}\"{CREDENTIALS}}}", corporate.address);
    let routes = format!("routes:\n  - host: {HOST}\n    scheme: http\n    {upstream}\n");
    let stage = stage.file("bottles/ci/routes.yaml", &routes).env("CORPORATE", PASSWORD).start();
    let answer =
        stage.agent().plain("GET", &format!("http://{HOST}/a?b=c"), "Authorization: Bearer mine\r\n");
    assert_eq!(answer.passed().text(), "answered by the corporate proxy\n");
    let seen = corporate.seen();
    assert!(seen[0].starts_with(&format!("GET http://{HOST}/a?b=c HTTP/1.1\r\n")), "{seen:?}");
    assert!(seen[0].contains("authorization: Bearer mine"), "the agent's own header is gone: {seen:?}");
}

#[test]
fn the_proxys_password_goes_to_the_proxy_alone() {
    // Routes to one host share its connections, which are made as the first of them says: past the proxy here.
    let (upstream, stage) = (Upstream::echo(), raw::stage());
    let corporate = Corporate::start(stage.simulator(), None);
    let first = format!("connect_to: \"{}\"", upstream.address);
    let second = format!("proxy: \"http://{}\"{CREDENTIALS}", corporate.address);
    let route = |path: &str, way: &str| {
        format!(
            "  - {{host: {HOST}, scheme: http, matches: [{{paths: [{{value: {path}}}]}}], upstream: {{{way}}}}}\n"
        )
    };
    let routes = format!("routes:\n{}{}", route("/first", &first), route("/second", &second));
    let stage = stage.file("bottles/ci/routes.yaml", &routes).env("CORPORATE", PASSWORD).start();
    for path in ["/first", "/second"] {
        stage.agent().plain("GET", &format!("http://{HOST}{path}"), "").passed();
    }
    let seen = upstream.seen();
    assert_eq!((seen.len(), corporate.seen().len()), (2, 0), "{seen:?}");
    assert!(
        !format!("{seen:?}").to_lowercase().contains("proxy-authorization"),
        "the password left: {seen:?}"
    );
}

#[test]
fn the_proxys_password_goes_with_no_trace() {
    let stage = raw::stage();
    let corporate = Corporate::start(stage.simulator(), None);
    let upstream = format!("upstream: {{proxy: \"http://{}\"{CREDENTIALS}}}", corporate.address);
    let routes = format!("routes:\n  - host: {HOST}\n    scheme: http\n    {upstream}\n");
    let stage = stage.file("bottles/ci/routes.yaml", &routes).env("CORPORATE", PASSWORD).start();
    let answer = stage.agent().plain("TRACE", &format!("http://{HOST}/"), "Max-Forwards: 0\r\n");
    answer.refused(403, "credential_unavailable").says("TRACE");
    assert_eq!(corporate.seen().len(), 0);
}

#[test]
fn an_address_is_checked_before_the_proxy_is_asked_for_it() {
    let stage = raw::stage();
    let corporate = Corporate::start(stage.simulator(), None);
    let routes = format!(
        "routes:\n  - host: 169.254.169.254\n    upstream: {{proxy: \"http://{}\"}}\n",
        corporate.address
    );
    let stage = stage.file("bottles/ci/routes.yaml", &routes).start();
    stage.agent().get("169.254.169.254", "/latest/").refused(403, "address_blocked");
    assert_eq!(corporate.seen().len(), 0);
}

#[test]
fn hudson_is_not_its_own_corporate_proxy() {
    let stage = raw::routes("routes: []\n").start();
    let routes =
        format!("routes:\n  - host: {HOST}\n    upstream: {{proxy: \"http://{}\"}}\n", stage.address);
    stage.world.configure("bottles/ci/routes.yaml", &routes);
    stage.signal(rustix::process::Signal::HUP);
    let agent = stage.agent();
    let blocked = raw::wait_until(std::time::Duration::from_secs(3), || {
        let answer = agent.get(HOST, "/");
        (answer.header("x-hudson-refusal") == Some("address_blocked")).then_some(())
    });
    assert!(blocked.is_some(), "{}", agent.get(HOST, "/"));
}

/// A CA, with which a server's and a client's certificate are signed.
struct Ca {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key is made");
        let certificate = params.self_signed(&key).expect("a CA signs itself");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key is made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name is one");
        (params.signed_by(&key, &self.issuer).expect("a CA signs"), key)
    }
}

/// A server that talks to nobody without a certificate of this CA, and says who it was.
#[allow(clippy::disallowed_methods, reason = "the test's own upstream")]
fn mutual(ca: &Ca) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate.der().clone()).expect("a CA is a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let (certificate, key) = ca.sign(HOST);
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key is one");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_client_cert_verifier(verifier.expect("the verifier is complete"))
        .with_single_cert(chain, key)
        .expect("the certificate fits its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let tls = ServerConnection::new(config.clone()).expect("the configuration is complete");
            let mut tls = StreamOwned::new(tls, socket);
            let mut head = [0; 4096];
            if tls.read(&mut head).is_ok_and(|length| length > 0) {
                let body = "known by its certificate\n";
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                tls.write_all(answer.as_bytes()).ok();
            }
        }
    });
    address
}

#[test]
fn a_client_certificate_is_shown_to_the_host_of_its_route() {
    let ca = Ca::new();
    let address = mutual(&ca);
    let (certificate, key) = ca.sign("hudson");
    let route = |more: &str| {
        format!(
            "routes:\n  - host: {HOST}\n    upstream: {{ca_file: ca.pem, connect_to: \"{address}\"{more}}}\n"
        )
    };
    let with = ", client_certificate: {certificate_file: me.pem, key_file: me.key}";
    let stage = raw::routes(&route(with))
        .file("bottles/ci/ca.pem", &ca.certificate.pem())
        .file("bottles/ci/me.pem", &certificate.pem())
        .file("bottles/ci/me.key", &key.serialize_pem())
        .start();
    let agent = stage.agent();
    assert_eq!(agent.get(HOST, "/").passed().text(), "known by its certificate\n");

    // Without it, or with a key that cannot be read, nothing goes through.
    stage.world.configure("bottles/ci/me.key", "no key\n");
    stage.world.configure("bottles/ci/routes.yaml", &route(&with.replace("me.pem", "./me.pem")));
    stage.event("configuration_reloaded");
    agent.get(HOST, "/").refused(403, "credential_unavailable").says("me.key");
}
