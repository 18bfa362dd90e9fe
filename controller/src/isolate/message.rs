//! What `hudson run` and its helpers say to each other: framed JSON over one socket, open files beside it.
//!
//! Invariant: what is received is as long as it was said to be, and no longer than [`MAX`].

use anyhow::{Context, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The longest message, in bytes: arguments and environment have their own limit in the kernel, which is lower.
const MAX: usize = 64 << 20;

/// What a helper says.
#[derive(Deserialize, Serialize)]
pub(super) enum Word {
    /// The outer helper made the namespaces; the socket that listens inside comes with it.
    Listening,
    /// The init has built and locked what the command will see.
    Ready,
    /// The command runs; a pidfd of it comes with this.
    Started,
    /// It went no further. The exit code, and what a person reads.
    Failed { code: u8, message: String },
}

/// What to start. Standard input comes with it.
#[derive(Deserialize, Serialize)]
pub(super) struct Start {
    /// The command and its arguments.
    pub(super) argv: Vec<OsString>,
    /// Its whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
}

/// A helper's end of the socket, which it was given as standard input.
pub(super) fn control() -> std::io::Result<UnixStream> {
    Ok(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}

/// Says something, with at most one open file.
pub(super) fn send(stream: &UnixStream, word: &impl Serialize, file: Option<BorrowedFd<'_>>) -> Result<()> {
    let text = serde_json::to_vec(word)?;
    let length = u32::try_from(text.len()).context("too much for one message")?.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    if !files.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    let mut stream = stream;
    stream.write_all(length.get(sent..).unwrap_or_default())?;
    Ok(stream.write_all(&text)?)
}

/// Hears what is said next, and the open file that comes with it.
pub(super) fn receive<T: DeserializeOwned>(stream: &UnixStream) -> Result<(T, Option<OwnedFd>)> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut length)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = recvmsg(stream, &mut parts, &mut ancillary, flags).context("the other side is silent")?;
    if received.bytes != length.len() {
        bail!("the other side has ended");
    }
    let mut file = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            file = files.into_iter().next();
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length))?;
    if length > MAX {
        bail!("a message of {length} bytes");
    }
    let mut text = vec![0; length];
    let mut stream = stream;
    stream.read_exact(&mut text).context("the other side has ended")?;
    Ok((serde_json::from_slice(&text).context("a message of another version")?, file))
}

/// Says that it goes no further; the exit code.
pub(super) fn fail(stream: &UnixStream, error: &anyhow::Error) -> u8 {
    let code = crate::exit::code_of(error);
    // Who does not listen any more needs no reason.
    let _ = send(stream, &Word::Failed { code, message: format!("{error:#}") }, None);
    code
}
