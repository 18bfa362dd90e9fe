//! Ways out of a container. Each is a line for the shell that succeeds where there is one; most are tried in a container
//! that nothing closes first, so that a line which could never succeed is noticed.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::NetworkCreateRequest;
use hudson_tests::engine::{ELSEWHERE, RESOLVER};
use hudson_tests::process::Background;
use rustix::process::Signal;

use super::scene::{PROGRAMS, SOON, Scene};
use crate::raw::wait_until;

pub(super) const GET: &str = "curl -sS --max-time 3 --noproxy '*'";

/// Answers whoever connects, for as long as the tests run; its port. Made where it is to be.
pub(super) fn answering(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe host\n").ok();
            // Its request is not read: without this the end could be a reset.
            stream.shutdown(std::net::Shutdown::Write).ok();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    port
}

/// Every packet that came to a port.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

impl Sink {
    /// Made where it is to be.
    fn at(socket: UdpSocket) -> Self {
        let sink = Self::default();
        let kept = sink.0.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok(length) = socket.recv(&mut packet) {
                kept.lock().expect("no holder panics").push(packet[..length].to_vec());
            }
        });
        sink
    }

    fn has(&self, mark: &str) -> bool {
        let kept = self.0.lock().expect("no holder panics");
        kept.iter().any(|packet| packet.windows(mark.len()).any(|part| part == mark.as_bytes()))
    }
}

/// The address of the host on the network of a bottle, as a line for the shell finds it.
const GATEWAY: &str = "gateway=${HTTPS_PROXY##*@}; gateway=${gateway%:*}";

/// The host's address on the engine's default network.
fn default_gateway(scene: &Scene) -> String {
    let mut list = hudson_tests::clients::clean("ip");
    let told = scene.finish(list.args(["-brief", "-4", "address", "show", "docker0"])).text();
    let address = told.split_whitespace().nth(2).and_then(|address| address.split('/').next());
    address.expect("it has one").to_owned()
}

/// Held in a closed bottle; a way out in one that is not.
#[track_caller]
pub(super) fn held(scene: &Scene, name: &str, line: &str) {
    let script = format!("{GATEWAY}; {line}");
    let open = scene.run(&[&PROGRAMS[..], &["--isolation", "none"]].concat(), &script);
    assert_eq!(open.code, Some(0), "{name} proves nothing: {open}");
    let closed = scene.run(&PROGRAMS, &script);
    assert_ne!(closed.code, Some(0), "{name} is a way out: {closed}");
    assert_ne!(closed.code, None, "{name}: {closed}");
}

/// Held in a closed bottle; a way out in a container as engines make them.
#[track_caller]
fn held_unlike_plain(scene: &Scene, name: &str, line: &str) {
    assert_eq!(scene.plain("bridge", line), 0, "{name} proves nothing: {line}");
    let closed = scene.run(&PROGRAMS, line);
    assert_ne!(closed.code, Some(0), "{name} is a way out: {closed}");
    assert_ne!(closed.code, None, "{name}: {closed}");
}

/// Ends what listens to no signal.
fn end(mut running: Background) {
    // Two at once may come as one.
    let ended = wait_until(SOON, || {
        running.signal(Signal::TERM);
        running.wait(Duration::from_millis(200)).then_some(())
    });
    ended.expect("it ends");
}

#[test]
fn no_service_of_the_host_is_reached_at_any_of_its_addresses() {
    let scene = Scene::new();
    let docker0 = default_gateway(&scene);
    no_service_of_the_host_is_reached(&scene, &["$gateway", &docker0, &RESOLVER.to_string()]);
}

/// At these addresses of the host.
pub(super) fn no_service_of_the_host_is_reached(scene: &Scene, addresses: &[&str]) {
    let everywhere = scene.engine.inside(|| answering("0.0.0.0"));
    for address in addresses {
        held(scene, address, &format!("{GET} http://{address}:{everywhere}/ | grep 'the host'"));
    }
    scene.nothing_is_left();
}

#[test]
fn no_packet_reaches_the_host_either() {
    let scene = Scene::new();
    let (port, sink) = scene.engine.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
        (socket.local_addr().expect("it is bound").port(), Sink::at(socket))
    });
    for (isolation, mark, open) in [("none", "open-bottle", true), ("full", "closed-bottle", false)] {
        let script = format!(
            "{GATEWAY}; for to in $gateway {RESOLVER} 255.255.255.255 224.0.0.1; do \
             perl -e 'use Socket; socket(S, 2, 2, 17) or die; setsockopt(S, 1, 6, 1); \
             send(S, $ARGV[0], 0, sockaddr_in({port}, inet_aton($ARGV[1])))' {mark}-$to $to; done; sleep 0.5"
        );
        scene.run(&[&PROGRAMS[..], &["--isolation", isolation]].concat(), &script).exited(0);
        assert_eq!(sink.has(mark), open, "--isolation {isolation}");
    }
}

#[test]
fn nothing_elsewhere_is_reached() {
    let scene = Scene::new();
    let port = scene.engine.elsewhere(|| answering("0.0.0.0"));
    held_unlike_plain(
        &scene,
        "a machine elsewhere",
        &format!("{GET} http://{ELSEWHERE}:{port}/ | grep 'the host'"),
    );
    held_unlike_plain(
        &scene,
        "an echo",
        &format!("ping -c1 -W2 {ELSEWHERE} || busybox ping -c1 -W2 {ELSEWHERE}"),
    );
    // What the proxy's name server never says, and no address of it: link-local and the cloud's.
    let outcome = scene.run(
        &PROGRAMS,
        &format!(
            "{GET} http://169.254.169.254/; test $? -gt 4 && ip -6 address show scope global | grep inet6"
        ),
    );
    assert_ne!(outcome.code, Some(0), "{outcome}");
}

#[test]
fn no_name_leaves_by_the_engines_forwarder() {
    let scene = Scene::new();
    let sink = scene.engine.inside(|| Sink::at(UdpSocket::bind((RESOLVER, 53)).expect("the port is free")));
    // A network with nothing but `internal`, whose forwarder has the host's resolver.
    let network = format!("leaky-{}", std::process::id());
    scene.engine.ask(|docker| {
        let request = NetworkCreateRequest {
            name: network.clone(),
            internal: Some(true),
            ..NetworkCreateRequest::default()
        };
        async move { docker.create_network(request).await.expect("it is made") }
    });
    scene.plain(&network, "getent ahosts open-mark.example.com; true");
    scene.engine.ask(|docker| {
        let network = network.clone();
        async move { docker.remove_network(&network).await.expect("it goes") }
    });
    assert!(sink.has("open-mark"), "the forwarder leaks no name, and this proves nothing");
    let script = format!(
        "{GATEWAY}; cat /etc/resolv.conf >&2; for name in closed-mark.example.com closed-mark closed-mark.corp.example; do \
         getent ahosts $name; for server in 127.0.0.11 $gateway {RESOLVER}; do timeout 4 nslookup $name $server; done; done; \
         echo closed-mark | nc -u -w1 {RESOLVER} 53; true"
    );
    for isolation in ["full", "none"] {
        let outcome =
            scene.run(&["--isolation", isolation], &script.replace("getent ahosts", "busybox nslookup"));
        if isolation == "full" {
            assert!(!sink.has("closed-mark"), "a name has left: {outcome}");
        }
        assert!(
            !outcome.stderr.contains("corp.example\n") || !outcome.stderr.contains("search corp"),
            "{outcome}"
        );
    }
    let outcome = scene.run(&PROGRAMS, "getent ahosts closed-mark.example.com");
    assert_ne!(outcome.code, Some(0), "{outcome}");
    // Without the packet filter, too: the forwarder itself has nobody to ask.
    let outcome = scene
        .run(&[&PROGRAMS[..], &["--isolation", "none"]].concat(), "getent ahosts forwarded-mark.example.com");
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert!(!sink.has("forwarded-mark"), "a name has left: {outcome}");
}

#[test]
fn another_bottle_is_out_of_reach_and_so_is_its_proxy() {
    let scene = Scene::new();
    let other = "trap 'exit 0' TERM; echo $HTTPS_PROXY > /tmp/proxy; touch /tmp/up; while :; do echo here | nc -l -p 7000; done & \
                 while :; do sleep 0.05; done";
    let running = scene.start(&mut scene.bottle(&[], &["sh", "-c", &format!("({}) ", other)]));
    scene.running("/tmp/up");
    let container = scene.containers().into_iter().next().expect("it runs");
    let networks = container.network_settings.and_then(|of| of.networks).unwrap_or_default();
    let endpoint = networks.into_values().next().expect("it is in one");
    let address = endpoint.ip_address.expect("it has an address");
    let gateway: Ipv4Addr = endpoint.gateway.expect("it has one").parse().expect("an address");
    // Its proxy's port is told by what listens there.
    let listening = scene.finish(hudson_tests::clients::clean("ss").args(["-Hltn"])).text();
    let proxy = listening
        .split_whitespace()
        .find(|word| word.starts_with(&format!("{gateway}:")))
        .unwrap_or_else(|| panic!("nobody listens at {gateway}: {listening}"))
        .to_owned();
    let line = format!("nc -w 3 {address} 7000 < /dev/null | grep here");
    let reach = format!("{GET} -o /dev/null http://{proxy}/");
    assert!(scene.inside(
        &container.names.expect("names")[0][1..],
        &["sh", "-c", "nc -w 3 127.0.0.1 7000 | grep here"]
    ));
    let outcome = scene.run(&[], &line);
    assert_ne!(outcome.code, Some(0), "{outcome}");
    let outcome = scene.run(&PROGRAMS, &reach);
    assert_eq!(outcome.code, Some(28), "{outcome}");
    // Nor is it from a container that is none of Hudson's.
    assert_eq!(scene.plain("bridge", &reach), 28);
    end(running);
}

#[test]
fn raw_sockets_mounts_and_devices_are_refused() {
    let scene = Scene::new();
    held_unlike_plain(&scene, "a raw socket", "perl -e 'socket(S, 2, 3, 1) or exit 1'");
    held_unlike_plain(&scene, "a packet socket", "perl -e 'socket(S, 17, 3, 768) or exit 1'");
    held_unlike_plain(&scene, "a device", "mknod /tmp/disk b 254 0");
    for line in [
        "mount -t tmpfs none /mnt",
        "unshare -m true",
        "ip link add type bridge",
        "ip address add 10.9.9.9/24 dev eth0",
        "ls /var/run/docker.sock /run/docker.sock",
        "ls /etc/hudson | grep -v -e '^ca.pem$' -e '^bundle.pem$'",
        "sh -c 'echo x >> /etc/hudson/bundle.pem'",
        "rm /etc/hudson/ca.pem",
        "nft list tables",
    ] {
        let outcome = scene.run(&PROGRAMS, line);
        assert_ne!(outcome.code, Some(0), "{line}: {outcome}");
        assert_ne!(outcome.code, None, "{line}: {outcome}");
    }
}

#[test]
fn ipv6_leads_nowhere() {
    let scene = Scene::new();
    let port = scene.engine.inside(|| answering("::"));
    let script = format!(
        "for to in $(ip -6 route show default | cut -d' ' -f3) ff02::1 fe80::1 fe80::42:ff:fe00:1; do \
         {GET} \"http://[$to%25eth0]:{port}/\" && exit 0; done; \
         {GET} 'http://[2001:db8::1]/' && exit 0; ip -6 address show dev eth0 | grep -q inet6"
    );
    let outcome = scene.run(&PROGRAMS, &script);
    assert_ne!(outcome.code, Some(0), "{outcome}");
    // An address of one's own makes no way: the packet filter is for both.
    let rules = scene.start(&mut scene.bottle(&[], &["sh", "-c", "touch /tmp/up; sleep 30"]));
    scene.running("/tmp/up");
    let listed = scene.finish(hudson_tests::clients::clean("nft").args(["list", "ruleset"])).text();
    let bridge =
        scene.networks()[0].options.clone().expect("options")["com.docker.network.bridge.name"].clone();
    for rule in [format!("iifname \"{bridge}\" drop"), format!("oifname \"{bridge}\" drop")] {
        assert!(listed.contains(&rule), "{rule}: {listed}");
    }
    drop(rules);
}

#[test]
fn credentials_are_asked_for_inside_too() {
    let scene = Scene::new();
    let script = "address=${HTTPS_PROXY##*@}; \
                  curl -sS -o /dev/null -w '%{http_connect}\\n' -x http://$address https://files.example.com/";
    assert!(scene.run(&PROGRAMS, script).text().contains("407"));
}

#[test]
fn what_the_container_says_at_the_end_of_its_network_reaches_nobody() {
    // The interface is gone before its table: there is no moment at which it is there and open.
    let scene = Scene::new();
    let port = scene.engine.inside(|| answering("0.0.0.0"));
    let script = format!(
        "{GATEWAY}; trap '' TERM; touch /tmp/up; while :; do {GET} --max-time 0.2 http://$gateway:{port}/ && touch /tmp/out; done"
    );
    let running = scene.start(&mut scene.bottle(&PROGRAMS, &["sh", "-c", &script]));
    let name = scene.running("/tmp/up");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!scene.inside(&name, &["test", "-e", "/tmp/out"]));
    end(running);
    scene.nothing_is_left();
}
