//! A running `hudson up` on a free port, talked to by hand: no client is between the test and the wire.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

pub(crate) mod agent;
pub(crate) mod answer;
pub(crate) mod corporate;
pub(crate) mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hudson_tests::process::{self, Background};
use hudson_tests::{World, clients, hudson};
use rustix::process::Signal;
use serde_json::Value;

pub(crate) use agent::{Agent, ask, post, request};
pub(crate) use answer::Answer;
pub(crate) use upstream::Upstream;

/// A stage that is being set up.
#[must_use]
pub(crate) struct Setting {
    world: World,
    up: Command,
}

/// A running `hudson up`, its log, and the simulator behind it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    up: Background,
    log: PathBuf,
}

/// Nothing is inherited, so nothing of this machine decides.
fn program(world: &World) -> Command {
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", world.operator_home()).current_dir(world.work());
    command
}

/// A stage without any file.
pub(crate) fn stage() -> Setting {
    let world = World::new();
    let mut up = program(&world);
    up.args(["up", "--listen", "127.0.0.1:0"]).args(hudson::redirection(&world.simulator));
    Setting { world, up }
}

/// The usual stage: the bottle `ci` with these routes.
pub(crate) fn routes(yaml: &str) -> Setting {
    stage().file("bottles/ci/routes.yaml", yaml)
}

impl Setting {
    /// A file below Hudson's home.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.world.configure(name, text);
        self
    }

    pub(crate) fn settings(self, yaml: &str) -> Self {
        self.file("settings.yml", yaml)
    }

    /// A variable of Hudson's own environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.up.env(name, value);
        self
    }

    /// Where the simulator listens.
    pub(crate) fn simulator(&self) -> SocketAddr {
        self.world.simulator.address()
    }

    /// The simulator's CA, as a path.
    pub(crate) fn simulator_ca(&self) -> String {
        self.world.simulator.ca_file().display().to_string()
    }

    /// Any other option of `hudson up`.
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.up.args([name, value]);
        self
    }

    /// Dials of `host:port` end at `address`.
    pub(crate) fn connect_to(self, host: &str, address: SocketAddr) -> Self {
        self.option("--connect-to", &format!("{host}:{address}"))
    }

    /// Dials of `host:port` end at the simulator.
    pub(crate) fn simulates(self, host: &str) -> Self {
        let address = self.world.simulator.address();
        self.connect_to(host, address)
    }

    /// Both model hosts lead to this server instead, whose certificates this CA signs.
    pub(crate) fn instead_of_simulator(self, address: &str, ca_file: &str) -> Self {
        let mut up = program(&self.world);
        up.args(["up", "--listen", "127.0.0.1:0", "--upstream-ca", ca_file]);
        for host in ["api.anthropic.com", "api.openai.com"] {
            up.args(["--connect-to", &format!("{host}:443:{address}")]);
        }
        Self { up, ..self }
    }

    pub(crate) fn start(self) -> Stage {
        let Self { world, mut up } = self;
        let (ready, log) = (world.scratch().join("ready.json"), world.scratch().join("up.log"));
        let out = std::fs::File::create(&log).expect("the scratch directory takes files");
        up.arg("--home").arg(world.home()).arg("--ready-file").arg(&ready);
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let mut up = Background::start(&mut up);
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until(Duration::from_secs(20), || {
            assert!(!up.ended(), "`hudson up` ended at once:\n{}", told());
            ready.exists().then_some(())
        })
        .unwrap_or_else(|| panic!("`hudson up` is not ready after 20 s:\n{}", told()));
        let ready = std::fs::read(&ready).expect("the ready file is readable");
        let ready: Value = serde_json::from_slice(&ready).expect("the ready file is JSON");
        let address = ready["addresses"][0].as_str().and_then(|address| address.parse().ok());
        Stage { world, address: address.expect("the ready file tells an address"), up, log }
    }
}

impl Stage {
    /// `hudson` with this home and these words.
    pub(crate) fn hudson(&self, words: &[&str]) -> process::Outcome {
        let mut command = program(&self.world);
        command.arg("--home").arg(self.world.home()).args(words);
        process::run(&mut command, Duration::from_secs(20))
    }

    /// An agent in a bottle: `hudson bottle add NAME --json`, with more words.
    pub(crate) fn agent_in(&self, bottle: &str, words: &[&str]) -> Agent {
        let outcome = self.hudson(&[&["bottle", "add", bottle, "--json"], words].concat());
        outcome.exited(0);
        let told: Value = serde_json::from_slice(&outcome.stdout).expect("`--json` prints JSON");
        Agent::new(self.address, &told, &self.world.home().join("ca/ca.pem"))
    }

    /// An agent in the bottle `ci`.
    pub(crate) fn agent(&self) -> Agent {
        self.agent_in("ci", &[])
    }

    /// How many requests arrived at the simulator.
    pub(crate) fn arrived(&self) -> usize {
        self.world.simulator.journal().entries().len()
    }

    /// Everything Hudson has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The events of one name so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let log = self.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["event"] == name).collect()
    }

    /// Waits for the first event of a name.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        wait_until(Duration::from_secs(5), || self.events(name).into_iter().next())
            .unwrap_or_else(|| panic!("no event {name}:\n{}", self.log()))
    }

    /// Hudson's process id.
    pub(crate) fn process(&self) -> u32 {
        self.up.id()
    }

    /// Sends a signal to Hudson.
    pub(crate) fn signal(&self, signal: Signal) {
        self.up.signal(signal);
    }
}

/// Looks until there is something, or the limit is over.
pub(crate) fn wait_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
