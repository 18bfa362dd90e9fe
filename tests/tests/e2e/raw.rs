//! A running `hudson up` on a free port, talked to by hand: no client is between the test and the wire.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

pub(crate) mod agent;
pub(crate) mod answer;
pub(crate) mod corporate;
pub(crate) mod frames;
pub(crate) mod hello;
pub(crate) mod names;
pub(crate) mod streams;
pub(crate) mod upstream;
pub(crate) mod vitals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hudson_tests::process::{self, Background};
use hudson_tests::simulator::Options;
use hudson_tests::{World, clients, hudson};
use rustix::process::Signal;
use serde_json::Value;

pub(crate) use agent::{Agent, ask, post, request};
pub(crate) use answer::Answer;
pub(crate) use upstream::Upstream;
pub(crate) use vitals::Vitals;

/// A stage that is being set up.
#[must_use]
pub(crate) struct Setting {
    pub(crate) world: World,
    up: Command,
    /// Whether the settings say where it listens; a free port of loopback otherwise.
    listens_as_set: bool,
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
    stage_with(Options::default())
}

/// A stage whose simulator behaves like this.
pub(crate) fn stage_with(options: Options) -> Setting {
    let world = World::with(options);
    let mut up = program(&world);
    up.arg("up").args(hudson::redirection(&world.simulator));
    Setting { world, up, listens_as_set: false }
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

    /// Listens where the settings say.
    pub(crate) fn listening_as_set(self) -> Self {
        Self { listens_as_set: true, ..self }
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

    /// These hosts lead to this server instead, whose certificates this CA signs.
    pub(crate) fn instead_of_simulator(self, hosts: &[&str], address: &str, ca_file: &str) -> Self {
        let mut up = program(&self.world);
        up.args(["up", "--upstream-ca", ca_file]);
        for host in hosts {
            up.args(["--connect-to", &format!("{host}:443:{address}")]);
        }
        Self { up, ..self }
    }

    /// May have so many files open at once, and can not change that.
    pub(crate) fn open_files(mut self, limit: u32) -> Self {
        let mut up = clients::clean("prlimit");
        up.arg(format!("--nofile={limit}:{limit}")).arg(self.up.get_program()).args(self.up.get_args());
        up.envs(self.up.get_envs().filter_map(|(name, value)| Some((name, value?))));
        up.current_dir(self.world.work());
        self.up = up;
        self
    }

    pub(crate) fn start(self) -> Stage {
        self.start_inside(|_, up| up)
    }

    /// Starts what `inside` makes of the command.
    pub(crate) fn start_inside(self, inside: impl FnOnce(&World, Command) -> Command) -> Stage {
        let Self { world, mut up, listens_as_set } = self;
        if !listens_as_set {
            up.args(["--listen", "127.0.0.1:0"]);
        }
        let (ready, log) = (world.scratch().join("ready.json"), world.scratch().join("up.log"));
        let out = std::fs::File::create(&log).expect("the scratch directory takes files");
        up.arg("--home").arg(world.home()).arg("--ready-file").arg(&ready);
        let mut up = inside(&world, up);
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
        let addresses = ready["addresses"].as_array().into_iter().flatten();
        let address = addresses.filter_map(|address| address.as_str()?.parse().ok()).next();
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
        let told = self.bottle_add(bottle, words);
        Agent::new(self.address, &told, &self.world.home().join("ca/ca.pem"))
    }

    /// The variables of a bottle's programs.
    pub(crate) fn environment(&self, bottle: &str) -> Vec<(String, String)> {
        let told = self.bottle_add(bottle, &[]);
        let variables = told["environment"].as_object().expect("the environment is told").iter();
        variables.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    }

    pub(crate) fn bottle_add(&self, bottle: &str, words: &[&str]) -> Value {
        let outcome = self.hudson(&[&["bottle", "add", bottle, "--json"], words].concat());
        outcome.exited(0);
        serde_json::from_slice(&outcome.stdout).expect("`--json` prints JSON")
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

    /// What Hudson takes of this machine.
    pub(crate) fn vitals(&self) -> Vitals {
        Vitals::of(self.up.id())
    }

    /// Sends a signal to Hudson.
    pub(crate) fn signal(&self, signal: Signal) {
        self.up.signal(signal);
    }

    /// Kills Hudson where it stands, and starts it again with the same home.
    pub(crate) fn killed_and_started(self, set: impl FnOnce(Setting) -> Setting) -> Self {
        let Self { world, up, .. } = self;
        up.signal(Signal::KILL);
        drop(up);
        std::fs::remove_file(world.scratch().join("ready.json")).expect("it was ready");
        let mut up = program(&world);
        up.arg("up").args(hudson::redirection(&world.simulator));
        set(Setting { world, up, listens_as_set: false }).start()
    }

    /// Waits for Hudson's end; its exit code.
    #[track_caller]
    pub(crate) fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        assert!(self.up.wait(limit), "it still runs after {limit:?}:\n{}", self.log());
        self.up.code()
    }

    /// The CPU time that Hudson has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.up.id())).unwrap_or_default();
        // The fields behind the name, which may have spaces: user and system time are the 12th and 13th, in ticks.
        let ticks = |field: usize| -> u64 {
            let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
            fields.split(' ').nth(field).and_then(|ticks| ticks.parse().ok()).expect("the process runs")
        };
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
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
