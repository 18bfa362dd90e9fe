//! The built `hudson`: found or built once, and started with a clean environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::{Clients, Invocation, clean, repository};
use crate::process::{self, Background, Outcome};
use crate::simulator::Simulator;
use crate::world::World;

/// The program under test: `$HUDSON_BIN`, else built from this repository.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("HUDSON_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "hudson-controller", "--bin", "hudson"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let output =
        command.current_dir(repository()).stderr(Stdio::inherit()).output().expect("cargo can be started");
    assert!(output.status.success(), "hudson does not build; the reason stands above");
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executable = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let hudson = message.get("target")?.get("name")?.as_str()? == "hudson";
        hudson.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
    });
    executable.next_back().expect("cargo names the program it has built")
}

/// The hosts whose connections end at the simulator. Everything else would leave the machine, and must be refused.
pub const HOSTS: [&str; 19] = [
    "api.anthropic.com",
    "platform.claude.com",
    "console.anthropic.com",
    "api.openai.com",
    "chatgpt.com",
    "ab.chatgpt.com",
    "auth.openai.com",
    "generativelanguage.googleapis.com",
    "play.googleapis.com",
    "api.cohere.com",
    "api.mistral.ai",
    "api.groq.com",
    "ollama.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "github.com",
    "api.github.com",
    "files.example.com",
    "git.example.com",
    "other.example.com",
];

/// `--connect-to` for every host, and the simulator's CA.
pub fn redirection(simulator: &Simulator) -> Vec<String> {
    let address = simulator.address();
    let (ip, port) = (address.ip(), address.port());
    let redirect = |host: &str| ["--connect-to".to_owned(), format!("{host}:443:{ip}:{port}")];
    let mut arguments: Vec<String> = HOSTS.iter().copied().flat_map(redirect).collect();
    arguments.extend(["--upstream-ca".to_owned(), simulator.ca_file().display().to_string()]);
    arguments
}

/// One `hudson run`, told step by step.
#[must_use]
#[derive(Debug)]
pub struct Launch<'w> {
    world: &'w World,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    limit: Duration,
}

impl<'w> Launch<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Self { world, arguments: Vec::new(), environment: Vec::new(), limit: Duration::from_secs(60) }
    }

    /// The launch budget, as `claude=200k`.
    pub fn budget(self, budget: &str) -> Self {
        self.option("--budget", budget)
    }

    /// The preset to take.
    pub fn provider(self, provider: &str) -> Self {
        self.option("--provider", provider)
    }

    /// Routes instead of, or beside, a preset.
    pub fn routes(self, yaml: &str) -> Self {
        let file = self.world.write_scratch("routes.yaml", yaml);
        self.option("--routes", &file.display().to_string())
    }

    /// Any other option of the command.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A variable of the operator's own environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How long it may take.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the client as a bottle.
    pub fn run(self, client: &Invocation) -> Outcome {
        let mut command = self.world.hudson();
        command.arg("run").arg("--home").arg(self.world.home());
        command.args(redirection(&self.world.simulator)).args(&self.arguments);
        // Most tests look at the proxy with the host's own files at hand; those of isolation say so.
        if !self.arguments.iter().any(|argument| argument == "--isolation") {
            command.args(["--isolation", "none"]);
        }
        command.arg("--").args(client.words());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let outcome = process::run(&mut command, self.limit);
        self.world.printed(&outcome.stderr);
        outcome
    }
}

/// A `hudson up` in the background.
#[derive(Debug)]
pub struct Up {
    process: Background,
}

impl Up {
    pub(crate) fn start(world: &World) -> Self {
        let ready = world.scratch().join("ready.json");
        std::fs::remove_file(&ready).ok();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(world.scratch().join("up.log"));
        let log = log.expect("the scratch directory takes files");
        let mut command = world.hudson();
        command.arg("up").arg("--home").arg(world.home()).arg("--ready-file").arg(&ready);
        // Not its usual port: tests run side by side.
        command.args(["--listen", "127.0.0.1:0"]).args(redirection(&world.simulator));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let mut process = Background::start(&mut command);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !ready.exists() {
            let log = || std::fs::read_to_string(world.scratch().join("up.log")).unwrap_or_default();
            assert!(!process.ended(), "`hudson up` ended at once:\n{}", log());
            assert!(Instant::now() < deadline, "`hudson up` is not ready after 20 s:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process }
    }

    /// `kill -9`.
    pub fn kill_now(&mut self) {
        self.process.kill_now();
    }
}

/// What a container started elsewhere would need: `hudson bottle add --json`.
#[derive(Clone, Debug)]
pub struct Bottle {
    /// The proxy's address with the bottle's credentials.
    pub proxy_url: String,
    /// The certificates the bottle must trust.
    pub ca_file: String,
    /// Its run.
    pub run: String,
}

impl Bottle {
    pub(crate) fn add(world: &World, name: &str) -> Self {
        let mut command = world.hudson();
        command.arg("bottle").arg("add").arg(name).arg("--json").arg("--home").arg(world.home());
        let outcome = process::run(&mut command, Duration::from_secs(20));
        outcome.exited(0);
        let told: Value =
            serde_json::from_slice(&outcome.stdout).unwrap_or_else(|_| panic!("no JSON: {outcome}"));
        let text = |key: &str| {
            let value = told.get(key).and_then(Value::as_str);
            value.unwrap_or_else(|| panic!("`bottle add --json` does not tell {key}: {outcome}")).to_owned()
        };
        Self { proxy_url: text("proxy_url"), ca_file: text("ca_file"), run: text("run") }
    }
}

/// A command with the environment of a person who has the clients installed, and nothing of this machine's.
pub fn operator(program: &Path, world: &World) -> Command {
    let mut command = clean(&program.display().to_string());
    command
        .env("HOME", world.operator_home())
        .env("TMPDIR", world.temporary())
        // A machine-wide pip or npm configuration may name a CA, which would hide that Hudson's is missing.
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("npm_config_globalconfig", "/dev/null")
        .current_dir(world.work());
    let clients = Clients::installed();
    command.env("PATH", clients.search_path()).env("HUDSON_CLIENTS", clients.root());
    command
}
