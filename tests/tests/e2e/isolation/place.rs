//! A host for bottles: an operator with a home and a project, root or not, and services that no bottle may reach.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hudson_tests::simulator::{Options, Simulator};
use hudson_tests::{Outcome, clients, hudson, process};

/// An ordinary user; no such account has to exist.
const SOMEBODY: u32 = 64_242;
pub(crate) const ROUTES: &str =
    "routes:\n  - {host: files.example.com}\n  - {host: git.example.com, git_fetch: true}\n";

/// Whose bottles they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operator {
    /// Who runs the tests.
    Tester,
    /// An ordinary user, also where the tester is root.
    Somebody,
}

/// Both, where they differ.
pub(crate) fn operators() -> &'static [Operator] {
    match is_root() {
        true => &[Operator::Tester, Operator::Somebody],
        false => &[Operator::Tester],
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gone when it is dropped.
pub(crate) struct Place {
    pub(crate) simulator: Simulator,
    folder: tempfile::TempDir,
    operator: Operator,
}

impl Place {
    pub(crate) fn of(operator: Operator) -> Self {
        let simulator = Simulator::start(Options::default()).expect("the simulator starts");
        let folder = tempfile::Builder::new().prefix("hudson-place-").tempdir().expect("a folder");
        let place = Self { simulator, folder, operator };
        fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        for part in ["home/project", "home/.bot-bottle/bottles/ci", "elsewhere", "bin"] {
            fs::create_dir_all(place.at(part)).expect("a folder");
        }
        fs::copy(place.simulator.ca_file(), place.at("upstream.pem")).expect("the simulator has a CA");
        // Where the built program lies, an ordinary user need not be able to go.
        copied(hudson::binary(), &place.at("bin/hudson"));
        fs::write(place.at("home/.bot-bottle/bottles/ci/routes.yaml"), ROUTES).expect("it takes files");
        fs::write(place.at("home/.bot-bottle/settings.yml"), "budget: {claude: 1000}\n")
            .expect("it takes files");
        fs::write(place.at("home/secret"), "the operator's own").expect("it takes files");
        fs::write(place.at("elsewhere/file"), "nobody's business").expect("it takes files");
        if operator == Operator::Somebody {
            for path in [
                "home",
                "home/project",
                "home/secret",
                "home/.bot-bottle",
                "home/.bot-bottle/settings.yml",
                "home/.bot-bottle/bottles",
                "home/.bot-bottle/bottles/ci",
                "home/.bot-bottle/bottles/ci/routes.yaml",
                "elsewhere",
                "elsewhere/file",
            ] {
                chown(place.at(path), Some(SOMEBODY), Some(SOMEBODY)).expect("the tester is root");
            }
        }
        place
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// `hudson` with these words, as the operator types them in the project.
    pub(crate) fn hudson(&self, words: &[&str]) -> Command {
        let program = self.at("bin/hudson").display().to_string();
        let mut command = match self.operator {
            Operator::Tester => clients::clean(&program),
            Operator::Somebody => {
                let mut command = clients::clean("setpriv");
                let user = SOMEBODY.to_string();
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--", &program]);
                command
            }
        };
        command.args(words).env("HOME", self.at("home")).current_dir(self.at("home/project"));
        command
    }

    /// `hudson run` in the bottle `ci` with these options, as a command.
    pub(crate) fn bottle(&self, options: &[&str], argv: &[&str]) -> Command {
        let ca = self.at("upstream.pem").display().to_string();
        let address = self.simulator.address();
        let mut words = vec!["run".to_owned(), "--bottle".to_owned(), "ci".to_owned()];
        if !options.contains(&"up") {
            words.extend(["--upstream-ca".to_owned(), ca]);
            for host in ["files.example.com", "git.example.com", "api.anthropic.com"] {
                words.extend(["--connect-to".to_owned(), format!("{host}:443:{address}")]);
            }
        }
        words.extend(options.iter().filter(|option| **option != "up").map(|option| (*option).to_owned()));
        words.push("--".to_owned());
        words.extend(argv.iter().map(|word| (*word).to_owned()));
        self.hudson(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A line for the shell in a bottle.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Outcome {
        process::run(&mut self.bottle(options, &["sh", "-c", script]), Duration::from_secs(60))
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        let outcome = process::run(&mut self.hudson(&["status", "--json"]), Duration::from_secs(20));
        serde_json::from_slice(&outcome.exited(0).stdout).expect("`--json` prints JSON")
    }
}

/// Answers whoever connects, over HTTP, for as long as the tests run.
macro_rules! answering {
    ($listener:expr) => {{
        let listener = $listener;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe host\n").ok();
                // Its request is not read: without this the end could be a reset.
                stream.shutdown(std::net::Shutdown::Write).ok();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    }};
}

/// Services of the host, each of which answers everybody.
pub(crate) struct Services {
    pub(crate) tcp: std::net::SocketAddr,
    pub(crate) tcp6: std::net::SocketAddr,
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Services {
    pub(crate) fn of(place: &Place) -> Self {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let tcp6 = std::net::TcpListener::bind("[::1]:0").expect("a port is free");
        let path = place.at("elsewhere/socket");
        let name = format!("hudson-{}-{}", std::process::id(), tcp.local_addr().expect("it is bound").port());
        let services = Self {
            tcp: tcp.local_addr().expect("it is bound"),
            tcp6: tcp6.local_addr().expect("it is bound"),
            path: path.clone(),
            name: name.clone(),
        };
        let unix = UnixListener::bind(&path).expect("a socket");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let address = UnixAddress::from_abstract_name(&name).expect("a name");
        answering!(tcp);
        answering!(tcp6);
        answering!(unix);
        answering!(UnixListener::bind_addr(&address).expect("the name is free"));
        services
    }
}

/// Copies a program, in a process of its own: a file that is open for writing here stays so in every process that a test
/// starts at this moment, and cannot be run.
pub(crate) fn copied(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("cp starts");
    assert!(status.success(), "{} is copied", from.display());
}
