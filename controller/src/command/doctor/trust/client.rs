//! The clients that are looked for, and one try of each.

use super::super::{Finding, Scratch};
use super::witness::{Seen, Witness};
use super::{Tried, judge};
use crate::dashboard::clean;
use crate::environment;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a client has.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether its request has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// The longest line of a client that is repeated, in characters.
const LONGEST: usize = 160;
/// The exit code by which a line of Python says that it lacks its library.
const ABSENT: i32 = 86;
/// A credential that is none.
const DUMMY: &str = "hudson-doctor-dummy";

/// One client.
pub(super) struct Client {
    /// What it is called.
    pub(super) name: &'static str,
    /// The variable by which it finds the CA.
    pub(super) variable: &'static str,
    program: &'static str,
    /// `{url}` stands for an address that only the witness answers.
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// What helps where no variable does.
    pub(super) remedy: Option<&'static str>,
    /// What to know about one that takes no proxy from the environment.
    pub(super) detour: Option<&'static str>,
}

const PLAIN: Client = Client {
    name: "",
    variable: "SSL_CERT_FILE",
    program: "",
    arguments: &[],
    environment: &[],
    remedy: None,
    detour: None,
};

/// Those that agents and their tools are made of.
pub(super) const CLIENTS: [Client; 16] = [
    Client {
        name: "curl",
        variable: "CURL_CA_BUNDLE",
        program: "curl",
        arguments: &["-sS", "-o", "/dev/null", "{url}"],
        ..PLAIN
    },
    Client {
        name: "wget",
        program: "wget",
        arguments: &["-q", "-t", "1", "-O", "/dev/null", "{url}"],
        remedy: Some(
            "wget made with GnuTLS reads no variable: give it `--ca-certificate=\"$SSL_CERT_FILE\"`, or use curl",
        ),
        ..PLAIN
    },
    Client {
        name: "git",
        variable: "GIT_SSL_CAINFO",
        program: "git",
        arguments: &["ls-remote", "{url}x.git"],
        environment: &[("GIT_TERMINAL_PROMPT", "0")],
        ..PLAIN
    },
    Client {
        name: "node",
        variable: "NODE_EXTRA_CA_CERTS",
        program: "node",
        // By a tunnel of its own, for `fetch` takes the proxy from Node 22 on.
        arguments: &[
            "-e",
            "const p = new URL(process.env.HTTPS_PROXY), h = new URL('{url}').hostname; \
             require('http').request({host: p.hostname, port: p.port, method: 'CONNECT', path: h + ':443', headers: \
             {'proxy-authorization': 'Basic ' + Buffer.from(p.username + ':' + p.password).toString('base64')}}) \
             .on('connect', (_, socket) => require('tls').connect({socket, servername: h}, function () { \
             this.end('GET / HTTP/1.1\\r\\nhost: ' + h + '\\r\\n\\r\\n') })).end()",
        ],
        ..PLAIN
    },
    Client {
        name: "fetch of node",
        variable: "NODE_EXTRA_CA_CERTS",
        program: "node",
        arguments: &["-e", "fetch('{url}').catch(error => console.error(String(error.cause ?? error)))"],
        detour: Some("take Node 22.21, 24 or later, whose fetch goes by the proxy with NODE_USE_ENV_PROXY=1"),
        ..PLAIN
    },
    Client {
        name: "npm",
        variable: "npm_config_cafile",
        program: "npm",
        arguments: &["view", "hudson", "--registry", "{url}", "--fetch-retries", "0"],
        environment: &[("NO_UPDATE_NOTIFIER", "1")],
        ..PLAIN
    },
    Client {
        name: "python",
        program: "python3",
        arguments: &["-c", "import urllib.request; urllib.request.urlopen('{url}')"],
        ..PLAIN
    },
    Client {
        name: "requests of python",
        variable: "REQUESTS_CA_BUNDLE",
        program: "python3",
        arguments: &[
            "-c",
            "\ntry: import requests\nexcept ImportError: raise SystemExit(86)\nrequests.get('{url}')",
        ],
        ..PLAIN
    },
    Client {
        name: "httpx of python",
        program: "python3",
        arguments: &[
            "-c",
            "\ntry: import httpx\nexcept ImportError: raise SystemExit(86)\nhttpx.get('{url}')",
        ],
        ..PLAIN
    },
    Client {
        name: "pip",
        variable: "PIP_CERT",
        program: "pip",
        arguments: &["download", "--no-deps", "--no-input", "--retries", "0", "-i", "{url}", "hudson-doctor"],
        environment: &[("PIP_DISABLE_PIP_VERSION_CHECK", "1")],
        ..PLAIN
    },
    Client {
        name: "cargo",
        variable: "CARGO_HTTP_CAINFO",
        program: "cargo",
        arguments: &["search", "--index", "sparse+{url}", "hudson"],
        environment: &[("CARGO_NET_RETRY", "0")],
        ..PLAIN
    },
    Client {
        name: "go",
        program: "go",
        arguments: &["list", "-m", "-versions", "hudson.invalid/doctor"],
        environment: &[
            ("GOPROXY", "{url}"),
            ("GOFLAGS", "-mod=mod"),
            ("GONOSUMDB", "*"),
            ("GOTOOLCHAIN", "local"),
        ],
        ..PLAIN
    },
    Client {
        name: "gh",
        program: "gh",
        arguments: &["api", "/"],
        environment: &[("GH_TOKEN", DUMMY)],
        ..PLAIN
    },
    Client {
        name: "Claude Code",
        variable: "SSL_CERT_FILE and NODE_EXTRA_CA_CERTS",
        program: "claude",
        arguments: &["-p", "hi"],
        environment: &[("ANTHROPIC_API_KEY", DUMMY)],
        ..PLAIN
    },
    Client {
        name: "Codex",
        variable: "CODEX_CA_CERTIFICATE",
        program: "codex",
        arguments: &["exec", "--skip-git-repo-check", "hi"],
        environment: &[("CODEX_API_KEY", DUMMY), ("OPENAI_API_KEY", DUMMY)],
        ..PLAIN
    },
    Client {
        name: "Gemini CLI",
        variable: "NODE_EXTRA_CA_CERTS",
        program: "gemini",
        arguments: &["--skip-trust", "-m", "gemini-2.5-flash", "-p", "hi"],
        environment: &[("GEMINI_API_KEY", DUMMY)],
        ..PLAIN
    },
];

impl Client {
    /// Starts it, and waits until its request has arrived, it has ended, or its time is over. `None` where it is not
    /// installed.
    pub(super) async fn try_out(&self, scratch: &Scratch, witness: &Witness) -> Result<Option<Finding>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let Some(program) = found(self.program, &path) else { return Ok(None) };
        let id = self.id();
        let folder = scratch.folder(&format!("client-{id}"))?;
        let printed = folder.join("printed");
        let output = File::create(&printed).with_context(|| format!("making {}", printed.display()))?;
        let mut command = self.command(&program, &path, &folder, scratch, witness);
        let mut child = match command.stderr(output).spawn() {
            Ok(child) => Started::new(child),
            Err(error) => {
                let found = format!("{} ({}) cannot be started: {error}", self.name, program.display());
                return Ok(Some(Finding::warning(super::CHECK, found, "install it anew")));
            }
        };
        let code = tokio::time::timeout(PATIENCE, child.judged(&id, witness)).await.unwrap_or_default();
        drop(child);
        let said = last_line(&printed);
        match (witness.seen(&id), code) {
            (Seen::Nothing, Some(ABSENT)) => Ok(None),
            (seen, _) => Ok(Some(judge(self, Tried { program: program.display().to_string(), seen, said }))),
        }
    }

    /// Its name as a user name and as a label of a host.
    fn id(&self) -> String {
        self.name.to_lowercase().replace(' ', "-")
    }

    fn command(
        &self,
        program: &Path,
        path: &OsStr,
        folder: &Path,
        scratch: &Scratch,
        witness: &Witness,
    ) -> Command {
        let url = format!("https://{}.hudson.invalid/", self.id());
        let proxy = environment::proxy_url(witness.address, &self.id(), &DUMMY.to_owned().into());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .env("HOME", folder)
            .env("TMPDIR", folder);
        // Without it what rustup has installed for the operator would be installed anew.
        command.envs(rustup().map(|home| ("RUSTUP_HOME", home)));
        command.envs(environment::variables(&proxy, &scratch.home.ca_bundle()));
        command.envs(self.environment.iter().map(|(name, value)| (name, value.replace("{url}", &url))));
        command.args(self.arguments.iter().map(|argument| argument.replace("{url}", &url)));
        command.current_dir(folder).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// A client that runs; with its end ends whatever it has started.
struct Started {
    child: Child,
    group: Option<Pid>,
}

impl Started {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self { child, group }
    }

    /// Waits until its request has arrived, or it has ended; its exit code then.
    async fn judged(&mut self, id: &str, witness: &Witness) -> Option<i32> {
        loop {
            tokio::select! {
                ended = self.child.wait() => {
                    // What it said last may still be on its way.
                    tokio::time::sleep(LOOK).await;
                    return ended.ok()?.code();
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            if witness.seen(id) == Seen::Request {
                return None;
            }
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // None is left where all of it has ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// The last line of what was printed, as far as it is of use.
fn last_line(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    clean(&last.chars().take(LONGEST).collect::<String>())
}

fn rustup() -> Option<OsString> {
    std::env::var_os("RUSTUP_HOME").or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME")?).join(".rustup");
        home.is_dir().then(|| home.into_os_string())
    })
}

/// The first program of this name in `PATH`.
fn found(name: &str, path: &OsStr) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    let runs = |path: &PathBuf| path.is_file() && access(path.as_path(), Access::EXEC_OK).is_ok();
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}
