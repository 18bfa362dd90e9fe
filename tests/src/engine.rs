//! Real container engines for the tests: one of each kind for the test process, in a network namespace of its own, with a
//! second one beside it that stands for the internet. Nothing is pulled, and nothing of it is left when the process ends, however
//! it ends (`tests/engine` sees to that).

use std::fs::File;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bollard::query_parameters::CreateImageOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt as _;
use nix::sched::{CloneFlags, setns, unshare};

use crate::clients::{clean, repository};
use crate::process;

/// The image that is there: a shell and the small programs of busybox, nothing else.
pub const IMAGE: &str = "hudson-tests/busybox:latest";
/// An address of the engine's host that its resolv.conf names as the resolver.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
/// A machine elsewhere, by way of the engine's host.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// What Docker's engine is made of.
const DOCKER: [&str; 4] = ["dockerd", "containerd", "runc", "iptables"];

/// A running engine and the two networks around it.
#[derive(Debug)]
pub struct Engine {
    folder: PathBuf,
    host: File,
    elsewhere: File,
    /// Its standard input is what the engine lives by: it closes with this process.
    _keeper: Child,
}

impl Engine {
    /// Docker's engine of this process; it is started by the first test that asks.
    pub fn docker() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(|| Self::start("docker", &DOCKER))
    }

    /// A Docker engine of a test's own, which may do to it what others would suffer from.
    pub fn own() -> Self {
        Self::start("docker", &DOCKER)
    }

    /// The process of its daemon.
    pub fn daemon(&self) -> rustix::process::Pid {
        let file = self.folder.join("daemon.json").display().to_string();
        let found =
            process::run(clean("pgrep").args(["-f", &format!("^dockerd --config-file {file}")]), SOON);
        let pid = found.text().lines().next().and_then(|line| line.trim().parse().ok());
        pid.and_then(rustix::process::Pid::from_raw).expect("its daemon runs")
    }

    /// Podman's, by the same API.
    pub fn podman() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(|| Self::start("podman", &["podman", "conmon", "runc", "/usr/lib/cni/bridge"]))
    }

    fn start(kind: &str, tools: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the tests of containers start an engine: run them as root"
        );
        for tool in tools.iter().chain(&["nft", "busybox"]) {
            let found = process::run(clean("sh").args(["-c", &format!("command -v {tool}")]), SOON);
            assert_eq!(found.code, Some(0), "{tool} is not installed; tests/tools installs what is missing");
        }
        let folder = tempfile::Builder::new().prefix("hudson-engine-").tempdir().expect("a folder");
        std::fs::write(
            folder.path().join("resolv.conf"),
            format!("nameserver {RESOLVER}\nsearch corp.example\n"),
        )
        .expect("it takes files");
        let (elsewhere_file, elsewhere) = namespace();
        let (host_file, _) = namespace();
        let lines = format!(
            "ip link add name outer type veth peer name eth0 netns {elsewhere}\n\
             ip address add 203.0.113.1/24 dev outer\n\
             ip link set outer up\n\
             ip route add default via {ELSEWHERE}\n\
             ip address add {RESOLVER}/32 dev lo"
        );
        within(&host_file, || shell(&lines));
        within(&elsewhere_file, || {
            shell(&format!(
                "ip address add {ELSEWHERE}/24 dev eth0\nip link set eth0 up\nip route add default via 203.0.113.1"
            ));
        });
        // From here on it is the keeper's, which outlives this process.
        let folder = folder.keep();
        let keeper = within(&host_file, || {
            let mut keeper = clean("setsid");
            keeper.arg(repository().join("tests/engine")).arg(kind).arg(&folder);
            keeper.stdin(Stdio::piped()).stdout(Stdio::null());
            keeper.spawn().expect("setsid starts")
        });
        let engine = Self { folder, host: host_file, elsewhere: elsewhere_file, _keeper: keeper };
        engine.wait_until_ready();
        engine.import();
        engine
    }

    /// Does something where the engine is: sockets, processes and simulators that are made so belong to its host.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(&self.host, act)
    }

    /// Does something on the machine elsewhere.
    pub fn elsewhere<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(&self.elsewhere, act)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("engine.sock")
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Asks it something.
    pub fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(Docker) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let socket = self.socket().display().to_string();
            question(
                Docker::connect_with_unix(&socket, 30, API_DEFAULT_VERSION).expect("its socket is there"),
            )
            .await
        })
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ready =
                self.socket().exists() && self.ask(|docker| async move { docker.ping().await.is_ok() });
            if ready {
                return;
            }
            assert!(Instant::now() < deadline, "the engine is not ready after 30 s:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes [`IMAGE`] of the machine's static busybox.
    fn import(&self) {
        let root = self.folder.join("image");
        let tar = self.folder.join("image.tar");
        shell(&format!(
            "mkdir -p {root}/bin {root}/etc {root}/tmp {root}/work && chmod 1777 {root}/tmp {root}/work\n\
             cp \"$(command -v busybox)\" {root}/bin/busybox\n\
             for name in $({root}/bin/busybox --list); do [ \"$name\" = busybox ] || ln -s busybox {root}/bin/$name; done\n\
             echo 'root:x:0:0::/:/bin/sh' > {root}/etc/passwd; echo 'root:x:0:' > {root}/etc/group\n\
             echo 'hosts: files dns' > {root}/etc/nsswitch.conf\n\
             tar -C {root} -cf {tar} .",
            root = root.display(),
            tar = tar.display()
        ));
        let body = std::fs::read(&tar).expect("it is made");
        let (repository, tag) = IMAGE.rsplit_once(':').expect("a name and a tag");
        self.ask(|docker| async move {
            let options =
                CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
            let import = docker.create_image(Some(options), Some(bollard::body_full(body.into())), None);
            import.try_collect::<Vec<_>>().await.expect("the engine takes the image");
        });
    }
}

const SOON: Duration = Duration::from_secs(20);

/// A new network namespace with a loopback, which lives as long as the file; and a thread in it, for programs that know
/// namespaces by a process.
fn namespace() -> (File, i32) {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
        let file = File::open("/proc/thread-self/ns/net").expect("its namespace");
        shell("ip link set lo up");
        let thread = nix::unistd::gettid().as_raw();
        tell.send((file, thread)).expect("somebody waits");
        // It is a child of this thread's that a network card is given to, and the engine's that is to outlive it.
        loop {
            std::thread::park();
        }
    });
    told.recv().expect("the thread lives")
}

/// Does something on a thread in a network namespace; a panic there is one here.
fn within<T: Send>(network: &File, act: impl FnOnce() -> T + Send) -> T {
    let ended = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(network, CloneFlags::CLONE_NEWNET).expect("root may enter a network namespace");
            act()
        });
        thread.join()
    });
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn shell(script: &str) {
    let output = Command::new("sh").args(["-euc", script]).output().expect("sh starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}
