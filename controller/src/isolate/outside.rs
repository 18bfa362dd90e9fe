//! The side of `hudson run`: starts the outer helper, takes the socket that listens inside, and says what to start.
//!
//! Invariant: dropping it ends whatever was started.

use super::OUTER;
use super::message::{self, Start, Word};
use super::plan::Plan;
use crate::exit::{self, Exit};
use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde::Serialize;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a helper may take for a step.
const STEP: Duration = Duration::from_secs(30);

/// A bottle that is made, and waits for its command.
pub struct Isolated {
    /// The outer helper, which ends with the command's exit code.
    pub helper: Child,
    /// Its end, by closing, is the end of the bottle.
    control: UnixStream,
    /// Where the proxy is reached from inside.
    pub address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Isolated {
    /// Makes a bottle. Where the kernel refuses a step, the error says which.
    pub fn make(plan: &Plan) -> Result<Self> {
        refuse_folders()?;
        let (control, theirs) = UnixStream::pair().context("a socket to the helper")?;
        control.set_read_timeout(Some(STEP))?;
        let helper = Command::new("/proc/self/exe")
            .arg(OUTER)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting the helper")?;
        let heard = heard(&control).map_err(refused)?;
        let (Word::Listening, Some(file)) = heard else { bail!("the helper says something else") };
        let listener = TcpListener::from(file);
        let address = listener.local_addr()?;
        match asked(&control, plan, None).map_err(refused)? {
            (Word::Ready, _) => Ok(Self { helper, control, address, listener: Some(listener) }),
            _ => bail!("the helper says something else"),
        }
    }

    /// The socket that listens inside; there is one.
    pub fn take_listener(&mut self) -> Result<TcpListener> {
        self.listener.take().context("the listener was taken already")
    }

    /// Starts the command; its process group, as it is seen from here.
    pub fn start(&self, argv: &[OsString], environment: Vec<(OsString, OsString)>) -> Result<Pid> {
        let start = Start { argv: argv.to_vec(), environment };
        match asked(&self.control, &start, Some(io::stdin().as_fd()))? {
            (Word::Started, Some(handle)) => {
                let pid = pid(handle.as_fd())?;
                message::send(&self.control, &(), None)?;
                Ok(pid)
            }
            _ => bail!("the helper says something else"),
        }
    }
}

/// Says something, and hears what comes of it. A helper that failed before it listened has said why.
fn asked(
    control: &UnixStream,
    word: &impl Serialize,
    file: Option<BorrowedFd<'_>>,
) -> Result<(Word, Option<OwnedFd>)> {
    let said = message::send(control, word, file);
    let heard = heard(control)?;
    said.map(|()| heard)
}

fn heard(control: &UnixStream) -> Result<(Word, Option<OwnedFd>)> {
    match message::receive(control).context("the helper that isolates the bottle")? {
        (Word::Failed { code, message }, _) => Err(Exit { code, message }.into()),
        word => Ok(word),
    }
}

fn refused(error: anyhow::Error) -> anyhow::Error {
    Exit {
        code: exit::FAILED,
        message: format!(
            "this bottle cannot be isolated here: {error:#}; `--isolation none` starts it unenforced, which an agent \
             that you do not trust should not be"
        ),
    }
    .into()
}

/// The process that a pidfd stands for, in the pid namespace of this process's `/proc`.
fn pid(handle: BorrowedFd<'_>) -> Result<Pid> {
    let file = format!("/proc/self/fdinfo/{}", handle.as_raw_fd());
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:")).context("the handle is no pidfd")?;
    match line.trim().parse()? {
        ..=0 => bail!("the command is in no pid namespace that is seen from here"),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// A folder as standard input, output or error would be a way to the host's files.
fn refuse_folders() -> Result<()> {
    let standard = [io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned()];
    for file in standard.into_iter().chain([io::stderr().as_fd().try_clone_to_owned()]) {
        let found = rustix::fs::fstat(file?).context("looking at the standard files")?;
        if rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Directory {
            return Err(
                Exit::usage("a folder is standard input or output; an isolated bottle takes none").into()
            );
        }
    }
    Ok(())
}
