//! Where the proxy listens: Unix sockets beside TCP, and addresses that are one bottle's alone, whose clients need no
//! credentials.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hudson_tests::clients;
use hudson_tests::process::{self, Background, Outcome};
use rustix::process::Signal;
use rustls::StreamOwned;
use serde_json::Value;

use crate::raw::agent::client;
use crate::raw::answer::{Answer, read_answer};
use crate::raw::{self, Agent, Stage};

const ROUTES: &str = "routes:\n  - host: files.example.com\n";
const SOON: Duration = Duration::from_secs(5);

/// A bottle with an address of its own; what was told of it.
fn bottle_at(stage: &Stage, name: &str, address: &str) -> Value {
    let outcome = stage.hudson(&["bottle", "add", name, "--json", "--listen", address]);
    outcome.exited(0);
    serde_json::from_slice(&outcome.stdout).expect("`--json` prints JSON")
}

/// A request to the proxy through a Unix socket, with these header lines.
#[track_caller]
fn ask(socket: &Path, path: &str, headers: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).expect("the proxy listens");
    stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
    let request = format!("GET http://_egress.local{path} HTTP/1.1\r\nHost: _egress.local\r\n{headers}\r\n");
    raw::ask(&mut stream, &request)
}

/// A file of a host, through CONNECT on a Unix socket.
#[track_caller]
fn get_through(socket: &Path, agent: &Agent, identity: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).expect("the proxy listens");
    stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
    let host = "files.example.com";
    let connect = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{identity}\r\n");
    stream.write_all(connect.as_bytes()).expect("the proxy reads");
    let answer = read_answer(&mut stream, true).expect("CONNECT is answered");
    assert_eq!(answer.status, 200, "{answer}");
    let mut tls = StreamOwned::new(client(agent.tls_config(&[b"http/1.1"]), host), stream);
    raw::ask(&mut tls, &format!("GET /hello.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the socket is there").permissions().mode() & 0o777
}

fn socket_in(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let address = format!("unix:{}", path.display());
    (path, address)
}

#[test]
fn a_unix_socket_takes_clients_with_credentials() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "proxy.sock");
    let mut stage = raw::routes(ROUTES).option("--listen", &address).start();
    let agent = stage.agent();
    assert_eq!(mode(&path), 0o600);
    get_through(&path, &agent, &agent.identity()).passed();
    ask(&path, "/health", "").refused(407, "identity_required");
    let status = stage.hudson(&["status", "--json"]);
    assert!(status.text().contains(&address), "{status}");
    stage.signal(Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn a_unix_socket_has_the_mode_that_the_settings_name() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "proxy.sock");
    let listen = format!("proxy: {{listen: ['127.0.0.1:0', '{address},mode=0666']}}\n");
    let _stage = raw::stage().settings(&listen).listening_as_set().start();
    assert_eq!(mode(&path), 0o666);
}

#[test]
fn a_socket_on_which_another_listens_is_left_alone_and_a_stale_one_is_not() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "proxy.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
    let first = raw::routes(ROUTES).option("--listen", &address).start();
    let agent = first.agent();
    let mut second = clients::clean(&hudson_tests::hudson::binary().display().to_string());
    second.arg("--home").arg(folder.path().join("home")).args(["up", "--listen", "127.0.0.1:0"]);
    let outcome = process::run(second.args(["--listen", &address]), SOON);
    assert!(outcome.exited(1).stderr.contains("another process listens there"), "{outcome}");
    get_through(&path, &agent, &agent.identity()).passed();
}

#[test]
fn a_bottles_own_socket_needs_no_credentials_and_takes_no_others() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "ci.sock");
    let stage = raw::routes(ROUTES).file("bottles/other/routes.yaml", "routes: []\n").start();
    let told = bottle_at(&stage, "ci", &address);
    assert_eq!((told["listen"].as_str(), mode(&path)), (Some(address.as_str()), 0o600));
    let own = Agent::new(stage.address, &told, &stage.world.home().join("ca/ca.pem"));
    let other = stage.agent_in("other", &[]);
    // Who comes without credentials is that run, and so is who has the right ones.
    for identity in [String::new(), own.identity()] {
        let told = get_through(&path, &own, &identity).passed();
        assert_eq!(told.text(), "hello from the simulator\n");
        let budget = ask(&path, "/budget", &identity).passed().json();
        assert_eq!((&budget["bottle"], &budget["run"]), (&"ci".into(), &told_run(&stage, "ci")));
    }
    // Anybody else's are refused, and so is what cannot be read.
    let wrong = own.with_credentials(&format!("{}x", own.credentials));
    for identity in [other.identity(), wrong.identity(), "Proxy-Authorization: Bearer abc\r\n".to_owned()] {
        ask(&path, "/budget", &identity).refused(407, "identity_required");
    }
    let twice = format!("{0}{0}", own.identity());
    ask(&path, "/budget", &twice).refused(407, "identity_required");
}

#[test]
fn a_bottles_own_socket_ends_with_its_run() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "ci.sock");
    let stage = raw::routes(ROUTES).start();
    bottle_at(&stage, "ci", &address);
    let mut open = UnixStream::connect(&path).expect("the proxy listens");
    let request = "GET http://_egress.local/health HTTP/1.1\r\nHost: _egress.local\r\n\r\n";
    raw::ask(&mut open, request).passed();
    stage.hudson(&["bottle", "remove", "ci"]).exited(0).shows("1 run ended");
    let gone = raw::wait_until(SOON, || (!path.exists()).then_some(()));
    assert!(gone.is_some(), "it still listens");
    open.set_read_timeout(Some(SOON)).expect("a socket takes options");
    assert_eq!(raw::agent::until_closed(&mut open).expect("an open connection is ended"), b"");
}

#[test]
fn an_address_that_others_reach_is_no_bottles_own() {
    let stage = raw::routes(ROUTES).start();
    for (open, why) in [
        ("127.0.0.1:0", "every process of this host"),
        ("127.3.2.1:0", "every process of this host"),
        ("[::1]:0", "every process of this host"),
        ("0.0.0.0:0", "every network of this host"),
        ("[::]:0", "every network of this host"),
    ] {
        let outcome = stage.hudson(&["bottle", "add", "ci", "--listen", open]);
        outcome.exited(2).shows(why);
    }
    let runs = stage.hudson(&["status", "--json"]);
    let runs: Value = serde_json::from_slice(&runs.stdout).expect("`--json` prints JSON");
    assert_eq!(runs["runs"], serde_json::json!([]), "a run was recorded for what was refused");
}

/// A network of its own, as a container has it: one address here, one there, and nothing else. It needs root, `ip`,
/// `unshare` and `nsenter`, and is gone with its process.
struct Network {
    inside: Background,
    here: String,
}

impl Network {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            report!("not tested: a network of its own needs root");
            return None;
        }
        let mut inside = clients::clean("unshare");
        inside.args(["--net", "sleep", "600"]).stdin(Stdio::null());
        let inside = Background::start(&mut inside);
        let id = inside.id();
        let own = std::fs::read_link("/proc/self/ns/net").ok();
        let apart = raw::wait_until(SOON, || {
            let theirs = std::fs::read_link(format!("/proc/{id}/ns/net")).ok()?;
            (Some(theirs) != own).then_some(())
        });
        apart.expect("unshare makes a network");
        // A /30 of the benchmarking range, apart from those of other tests.
        let [high, low] = [(id >> 6) % 256, (id % 64) * 4];
        let (here, there) = (format!("198.18.{high}.{}", low + 1), format!("198.18.{high}.{}", low + 2));
        let network = Self { inside, here: here.clone() };
        let (ours, theirs) = (format!("hh{id}"), format!("hb{id}"));
        let pid = id.to_string();
        for line in [
            vec!["ip", "link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &pid],
            vec!["ip", "address", "add", &format!("{here}/30"), "dev", &ours],
            vec!["ip", "link", "set", &ours, "up"],
            vec!["nsenter", "-t", &pid, "-n", "ip", "address", "add", &format!("{there}/30"), "dev", &theirs],
            vec!["nsenter", "-t", &pid, "-n", "ip", "link", "set", &theirs, "up"],
        ] {
            let mut command = clients::clean(line[0]);
            process::run(command.args(&line[1..]), SOON).exited(0);
        }
        Some(network)
    }

    /// Runs curl in it.
    fn curl(&self, words: &[&str]) -> Outcome {
        let mut command = clients::clean("nsenter");
        command.args(["-t", &self.inside.id().to_string(), "-n", "curl", "-sS", "--max-time", "10"]);
        process::run(command.args(words), Duration::from_secs(15))
    }
}

#[test]
fn a_bottles_own_address_in_its_network_needs_no_credentials() {
    let Some(network) = Network::new() else { return };
    let stage = raw::routes(ROUTES).start();
    let told = bottle_at(&stage, "ci", &format!("{}:0", network.here));
    let address = told["listen"].as_str().expect("an address is told").to_owned();
    let proxy = format!("http://{address}");
    assert_eq!(told["proxy_url"].as_str(), Some(proxy.as_str()), "the URL has no credentials");
    assert_eq!(told["environment"]["HTTPS_PROXY"].as_str(), Some(proxy.as_str()));
    let ca = stage.world.home().join("ca/ca.pem").display().to_string();
    let words = ["-x", proxy.as_str(), "--cacert", &ca, "https://files.example.com/hello.txt"];
    let outcome = network.curl(&words);
    assert_eq!(outcome.exited(0).text(), "hello from the simulator\n", "{outcome}");
    // Wrong credentials are refused there as everywhere.
    let foreign = ["-o", "/dev/null", "-w", "%{http_connect}", "--proxy-user", "someone:else"];
    let outcome = network.curl(&[&foreign[..], &words[..]].concat());
    assert_eq!(outcome.text(), "407", "{outcome}");
    // And no route lets a bottle reach it as an upstream.
    let (ip, port) = address.split_once(':').expect("an address has a port");
    let route = format!(
        "routes:\n  - {{host: {ip}, scheme: http, port: {port}, allow_addresses: [198.18.0.0/15]}}\n"
    );
    stage.world.configure("bottles/thief/routes.yaml", &route);
    let thief = stage.agent_in("thief", &[]);
    thief
        .plain("GET", &format!("http://{address}/"), "")
        .refused(403, "address_blocked")
        .says("own listeners");
}

#[test]
fn a_sidecar_listens_for_its_bottle_where_it_is_told() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let (path, address) = socket_in(&folder, "bottle.sock");
    let (routes, url) = (folder.path().join("routes.yaml"), folder.path().join("url"));
    std::fs::write(&routes, ROUTES).expect("the scratch directory takes files");
    let start = |listen: &str| {
        let mut command = clients::clean(&hudson_tests::hudson::binary().display().to_string());
        command.arg("--home").arg(folder.path().join("home")).args(["proxy", "--listen", "127.0.0.1:0"]);
        command.env("EGRESS_ROUTES", &routes).env("EGRESS_PROXY_URL_FILE", &url);
        command.env("EGRESS_LISTEN", listen).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    process::run(&mut start("0.0.0.0:8080"), SOON).exited(2);
    let mut sidecar = Background::start(&mut start(&address));
    // The file is what its launcher waits for.
    let told = || std::fs::read_to_string(&url).ok().filter(|url| url.ends_with('\n'));
    let url = raw::wait_until(SOON, told).expect("the sidecar tells its proxy URL");
    assert!(url.starts_with("http://"), "no proxy URL");
    assert_eq!(ask(&path, "/budget", "").passed().json()["bottle"], "sidecar");
    sidecar.signal(Signal::TERM);
    assert_eq!((sidecar.wait(SOON), sidecar.code()), (true, Some(0)));
    assert!(!path.exists(), "the socket is left behind");
}

/// The run of a bottle, as the status tells it.
fn told_run(stage: &Stage, bottle: &str) -> Value {
    let status = stage.hudson(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("`--json` prints JSON");
    let runs = status["runs"].as_array().cloned().unwrap_or_default();
    runs.into_iter().find(|run| run["bottle"] == bottle).expect("the run is live")["run"].clone()
}
