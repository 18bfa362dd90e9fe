//! A test's own world: a simulator, Hudson's home, an operator's home, and nothing shared with other tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use crate::clients::Invocation;
use crate::events::{self, Refusal};
use crate::hudson::{self, Bottle, Launch, Up};
use crate::ledger::{self, UsageRow};
use crate::process::{self, Outcome};
use crate::simulator::{Entry, Options, Simulator};

/// Everything one test needs; gone when it is dropped.
#[derive(Debug)]
pub struct World {
    /// The providers.
    pub simulator: Simulator,
    scratch: TempDir,
    printed: Mutex<String>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world with a quick simulator.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// A world with a simulator of one's own.
    pub fn with(options: Options) -> Self {
        let simulator = Simulator::start(options).expect("the simulator starts");
        let scratch =
            tempfile::Builder::new().prefix("hudson-world-").tempdir().expect("a scratch directory");
        for part in ["operator", "work", "tmp"] {
            std::fs::create_dir(scratch.path().join(part)).expect("a scratch directory");
        }
        Self { simulator, scratch, printed: Mutex::default() }
    }

    /// Hudson's home; Hudson itself creates it.
    pub fn home(&self) -> PathBuf {
        self.scratch.path().join("hudson")
    }

    /// The operator's home, where sign-in files lie.
    pub fn operator_home(&self) -> PathBuf {
        self.scratch.path().join("operator")
    }

    /// Where clients work.
    pub fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }

    /// Where clients put temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.scratch.path().join("tmp")
    }

    /// The directory that holds them all.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file below Hudson's home.
    pub fn configure(&self, file: &str, text: &str) {
        write(&self.home().join(file), text);
    }

    /// Writes a file below the operator's home.
    pub fn operator_has(&self, file: &str, text: &str) {
        write(&self.operator_home().join(file), text);
    }

    pub(crate) fn write_scratch(&self, file: &str, text: &str) -> PathBuf {
        let path = self.scratch.path().join(file);
        write(&path, text);
        path
    }

    /// The program under test in the operator's environment.
    pub fn hudson(&self) -> Command {
        hudson::operator(hudson::binary(), self)
    }

    /// Tells a `hudson run`.
    pub fn launch(&self) -> Launch<'_> {
        Launch::new(self)
    }

    /// Starts `hudson up`.
    pub fn up(&self) -> Up {
        Up::start(self)
    }

    /// Registers a bottle with a running `hudson up`.
    pub fn bottle(&self, name: &str) -> Bottle {
        Bottle::add(self, name)
    }

    /// Runs a client without Hudson: the simulator is its proxy, and `keys` its environment.
    pub fn direct(&self, client: &Invocation, keys: &[(&str, &str)]) -> Outcome {
        let proxy = format!("http://bottle:password@{}", self.simulator.address());
        self.through(&proxy, &self.simulator.ca_file().display().to_string(), client, keys)
    }

    /// Runs a client with a proxy and a CA.
    pub fn through(&self, proxy: &str, ca_file: &str, client: &Invocation, keys: &[(&str, &str)]) -> Outcome {
        process::run(&mut self.command_through(proxy, ca_file, client, keys), Duration::from_secs(60))
    }

    /// The same as a command, to be started in the background.
    pub fn command_through(
        &self,
        proxy: &str,
        ca: &str,
        client: &Invocation,
        keys: &[(&str, &str)],
    ) -> Command {
        let (program, arguments) = client.words().split_first().expect("a client has a program");
        let mut command = hudson::operator(Path::new(program), self);
        command.args(arguments).env("NODE_USE_ENV_PROXY", "1");
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env(name, proxy);
        }
        for name in [
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "AWS_CA_BUNDLE",
            "CODEX_CA_CERTIFICATE",
        ] {
            command.env(name, ca);
        }
        command.envs(keys.iter().copied());
        command
    }

    /// The ledger's usage rows.
    pub fn usage(&self) -> Vec<UsageRow> {
        ledger::usage(&self.home())
    }

    pub(crate) fn printed(&self, text: &str) {
        self.printed.lock().expect("no holder panics").push_str(text);
    }

    /// Every refusal so far.
    pub fn refusals(&self) -> Vec<Refusal> {
        events::refusals(&self.home(), &self.printed.lock().expect("no holder panics"))
    }

    /// The refused calls that a provider would have billed.
    pub fn refused_calls(&self) -> Vec<Refusal> {
        self.refusals().into_iter().filter(Refusal::is_metered_call).collect()
    }

    /// The one billed call that arrived at the provider.
    #[track_caller]
    pub fn only_call(&self) -> Entry {
        self.last_call_of(1)
    }

    /// The last of so many billed calls that arrived at the provider.
    #[track_caller]
    pub fn last_call_of(&self, calls: usize) -> Entry {
        let arrived = self.simulator.journal().metered_calls();
        assert_eq!(arrived.len(), calls, "so many billed calls were expected at the provider: {arrived:#?}");
        arrived.into_iter().last().expect("there is one")
    }

    /// Ends the test unless the ledger has exactly the provider's numbers, row by row.
    #[track_caller]
    pub fn ledger_equals_provider(&self) -> Vec<UsageRow> {
        let calls = self.simulator.journal().metered_calls();
        let rows = ledger::wait_for(&self.home(), Duration::from_secs(5), |rows| rows.len() >= calls.len());
        let mut told: Vec<_> = calls.iter().map(Numbers::told).collect();
        let mut written: Vec<_> = rows.iter().map(Numbers::written).collect();
        told.sort();
        written.sort();
        assert_eq!(written, told, "the ledger (left) differs from the provider's numbers (right)");
        rows
    }
}

/// What must be equal on both sides of the proxy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Numbers {
    host: String,
    model: String,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    total: u64,
    quality: String,
}

impl Numbers {
    fn told(call: &Entry) -> Self {
        let usage = call.usage.unwrap_or_default();
        // Anthropic and Bedrock tell the cache beside the input, the others count it inside.
        let apart = call.host == "api.anthropic.com" || call.host.starts_with("bedrock-runtime.");
        Self {
            host: call.host.clone(),
            model: call.model.clone().unwrap_or_default(),
            input: if apart { usage.input } else { usage.all_input() },
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: if apart { usage.cache_write } else { 0 },
            total: usage.total(),
            quality: "exact".to_owned(),
        }
    }

    fn written(row: &UsageRow) -> Self {
        Self {
            host: row.host.clone(),
            model: row.model.clone().unwrap_or_default(),
            input: row.input,
            output: row.output,
            cache_read: row.cache_read,
            cache_write: row.cache_write,
            total: row.total,
            quality: row.quality.clone(),
        }
    }
}

fn write(path: &Path, text: &str) {
    let directory = path.parent().expect("a file is in a directory");
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(path, text))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
