//! What stands before the first request: the simulated provider, Hudson's files with their budgets, and bottles with
//! their credentials.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::{Budget, Plan};
use crate::process::{self, Background, Outcome};
use crate::simulator::Options;
use crate::{World, clients, hudson};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: SOAK_KEY}
  - {host: api.openai.com, auth_scheme: Bearer, token_env: SOAK_KEY}
  - host: files.example.com
";
/// Bottles among which the streams are dealt out.
pub(super) const BOTTLES: usize = 4;
/// The bottle whose limit is changed on the way; it stands behind the others.
pub(super) const PROBE: &str = "probe";
/// What is never reached.
const PLENTY: u64 = 1_000_000_000_000;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Whether some of a bottle's requests have more input than any estimate sees, where budgets are reached. The limits of
/// the others are not passed by a single token.
pub(super) fn has_blind(bottle: usize) -> bool {
    bottle % 2 == 1
}

/// The scene.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) home: PathBuf,
    /// Every bottle's credentials, the probe's last.
    pub(super) bottles: Vec<Bottle>,
    pub(super) limits: Vec<Limit>,
    /// How an agent speaks TLS: it trusts Hudson's CA alone.
    pub(super) tls: Arc<rustls::ClientConfig>,
}

/// A bottle and the line that says who it is.
#[derive(Clone)]
pub(super) struct Bottle {
    pub(super) name: String,
    pub(super) authorization: String,
}

/// A limit in force, as the table `totals` names its scope.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) scope: &'static str,
    pub(super) key: String,
    pub(super) provider: &'static str,
    pub(super) tokens: u64,
}

impl Limit {
    /// Whether a charge counts in it.
    pub(super) fn covers(&self, bottle: &str, provider: &str) -> bool {
        (self.scope == "global" || self.key == bottle)
            && (self.provider == "any" || self.provider == provider)
    }
}

impl Scene {
    pub(super) fn set(simulator: Options, plan: &Plan) -> Result<Self> {
        let world = World::with(simulator);
        let home = world.home();
        let limits = limits(plan);
        world.configure("settings.yml", &settings(&limits));
        let names: Vec<String> =
            (0..BOTTLES).map(|bottle| format!("b{bottle}")).chain([PROBE.to_owned()]).collect();
        for name in &names {
            world.configure(&format!("bottles/{name}/routes.yaml"), ROUTES);
        }
        let bottles = register(&world, &names)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(home.join("ca/ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { home, bottles, limits, tls: Arc::new(tls), world })
    }

    /// `hudson` with this home and these words, to its end.
    pub(super) fn hudson(&self, words: &[&str]) -> Outcome {
        let mut command = program(&self.world);
        command.arg("--home").arg(&self.home).args(words);
        process::run(&mut command, Duration::from_secs(60))
    }

    /// The last of the bottles.
    pub(super) fn probe(&self) -> &Bottle {
        &self.bottles[BOTTLES]
    }
}

/// The program under test with nothing of this machine's environment.
pub(super) fn program(world: &World) -> Command {
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", world.operator_home()).env("SOAK_KEY", "soak-only-3fQ8vZ1nB6xW");
    command.current_dir(world.work());
    command
}

/// What a process that serves has told when it was ready: its first address.
pub(super) fn ready(file: &std::path::Path, process: &mut Background) -> Result<std::net::SocketAddr> {
    let deadline = Instant::now() + READY_WITHIN;
    while !file.exists() {
        ensure!(!process.ended(), "it ended before it listened");
        ensure!(Instant::now() < deadline, "it does not listen after {READY_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let told: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let address = told["addresses"][0].as_str().context("the ready file tells no address")?;
    Ok(address.parse()?)
}

/// Gives each bottle its credentials by a `hudson up` that then ends: the runs live on in the ledger, where the proxies
/// find them.
fn register(world: &World, names: &[String]) -> Result<Vec<Bottle>> {
    let file = world.scratch().join("up.json");
    let mut up = program(world);
    up.args(["up", "--listen", "127.0.0.1:0"]).args(hudson::redirection(&world.simulator));
    up.arg("--home").arg(world.home()).arg("--ready-file").arg(&file);
    let mut up = Background::start(up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    ready(&file, &mut up).context("`hudson up`")?;
    let mut bottles = Vec::new();
    for name in names {
        let mut add = program(world);
        add.arg("--home").arg(world.home()).args(["bottle", "add", name, "--json"]);
        let outcome = process::run(&mut add, READY_WITHIN);
        ensure!(outcome.code == Some(0), "{outcome}");
        let told: Value = serde_json::from_slice(&outcome.stdout)?;
        let url = told["proxy_url"].as_str().unwrap_or_default();
        let credentials = url.strip_prefix("http://").and_then(|rest| rest.split_once('@'));
        let (credentials, _) = credentials.context("the proxy URL has no credentials")?;
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        bottles.push(Bottle { name: name.clone(), authorization });
    }
    up.signal(Signal::TERM);
    ensure!(up.wait(READY_WITHIN), "`hudson up` does not end");
    Ok(bottles)
}

/// A limit of the host and one of each bottle, all of them asked. In the tight case two bottles' and the host's are
/// reached, whatever the machine's speed: they are a share of what the streams ask for at their own pace.
fn limits(plan: &Plan) -> Vec<Limit> {
    let asked = super::mix::tokens_asked(plan);
    let share = |percent: u64| match plan.budget {
        Budget::Roomy => PLENTY,
        Budget::Tight => asked * percent / 100,
    };
    let bottle = |index: usize, provider, tokens| Limit {
        scope: "bottle",
        key: format!("b{index}"),
        provider,
        tokens,
    };
    vec![
        Limit { scope: "global", key: String::new(), provider: "any", tokens: share(70) },
        bottle(0, "any", share(8)),
        bottle(1, "claude", share(6)),
        bottle(2, "codex", PLENTY),
        bottle(3, "any", PLENTY),
    ]
}

fn settings(limits: &[Limit]) -> String {
    let mut yaml = "precedence: all\nmin_output: 16\n".to_owned();
    for limit in limits.iter().filter(|limit| limit.scope == "global") {
        yaml += &format!("budget: {{{}: {}}}\n", limit.provider, limit.tokens);
    }
    yaml += "bottles:\n";
    for limit in limits.iter().filter(|limit| limit.scope == "bottle") {
        yaml += &format!("  {}: {{budget: {{{}: {}}}}}\n", limit.key, limit.provider, limit.tokens);
    }
    yaml
}
