//! A bottle that another tool holds: its commands, from `enforcement` in settings.yml, freeze it, kill it and bring it back.
//!
//! Invariants: no shell reads what stands in place of a `{word}`; a command ends within its time, with all that it has
//! started in its group; what it says is kept in the journal, cut and without control characters.

use super::back_end::{BackEnd, CUT_OFF, Lasting};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use hudson_schema::config::EnforcementCommands;
use hudson_schema::ledger::{Action, Enforcement, RunRecord};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// How much of what a command says is read, in bytes; the rest is thrown away.
const MOST_READ: u64 = 64 << 10;
/// How much of it is kept in the journal, in characters: the end, where errors stand.
const MOST_KEPT: usize = 2000;

/// Acts on one run by commands.
pub struct CommandBackEnd {
    commands: EnforcementCommands,
    run: RunRecord,
}

impl CommandBackEnd {
    /// Acts on this run by these.
    pub fn new(commands: EnforcementCommands, run: RunRecord) -> Self {
        Self { commands, run }
    }

    fn argv(&self, action: Action) -> Option<Vec<String>> {
        let template = match action {
            Action::Cutoff => &self.commands.cutoff,
            Action::Freeze => &self.commands.freeze,
            Action::Kill => &self.commands.kill,
            Action::Resume => &self.commands.resume,
        };
        let template = template.as_ref()?;
        Some(template.iter().map(|part| self.filled(part, action)).collect())
    }

    fn filled(&self, part: &str, action: Action) -> String {
        let agent = self.run.agent.as_ref().map_or("", |agent| agent.as_str());
        let words = [
            ("{bottle}", self.run.bottle.as_str()),
            ("{run}", self.run.id.as_str()),
            ("{agent}", agent),
            ("{action}", action.name()),
        ];
        // None of these names can hold a brace, so that one after the other is all at once.
        words.iter().fold(part.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

#[async_trait]
impl BackEnd for CommandBackEnd {
    async fn carry_out(&self, row: &Enforcement) -> Result<String> {
        let Some(argv) = self.argv(row.action) else {
            return match row.action {
                Action::Cutoff => Ok(CUT_OFF.to_owned()),
                action => {
                    Err(Lasting(format!("settings.yml names no `enforcement.command.{action}`")).into())
                }
            };
        };
        let (name, arguments) = argv.split_first().context("the command is empty")?;
        let mut command = Command::new(name);
        command.args(arguments).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name:?}"))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let time = self.commands.timeout.0;
        let talk = async { tokio::join!(read(output), read(errors), child.wait()) };
        let ended = tokio::time::timeout(time, talk).await;
        // What it left behind goes with it: a helper that holds its output open would be waited for.
        if let Some(group) = group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let Ok((output, errors, status)) = ended else {
            bail!("{name} did not end within {time:?} and was killed");
        };
        let (status, said) = (status.context("waiting for the command")?, said(&output, &errors));
        match status.success() {
            true => Ok(format!("{name} ended well{said}")),
            false => bail!("{name} {}{said}", ending(status)),
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut stream) = stream {
        // What breaks off has said what it could.
        let _ = (&mut stream).take(MOST_READ).read_to_end(&mut text).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    text
}

fn said(output: &[u8], errors: &[u8]) -> String {
    let text = format!("{}\n{}", String::from_utf8_lossy(output), String::from_utf8_lossy(errors));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let clean: Vec<char> = lines.chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
    let kept: String = clean.iter().skip(clean.len().saturating_sub(MOST_KEPT)).collect();
    if kept.is_empty() { String::new() } else { format!(": {kept}") }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}
