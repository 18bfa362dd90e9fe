//! Who is at the other end of the control socket.
//!
//! Invariant: a process in another user, pid or network namespace, or with another root, is in a bottle or a container,
//! or cannot be told from one, and is refused, also where the socket was mounted into it. The mount namespace alone says
//! nothing: a service manager gives a hardened controller one of its own. What has no namespaces of its own is looked for
//! by what started it.

use crate::approvals::place;
use anyhow::{Context, Result, bail};
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::Timespec;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use tokio::net::UnixStream;

/// What has to be the controller's own.
const NAMESPACES: [&str; 3] = ["user", "pid", "net"];

/// Refuses everybody but processes of the operator that are in no bottle.
pub(super) fn check(stream: &UnixStream) -> Result<()> {
    let peer = stream.peer_cred()?;
    if peer.uid() != rustix::process::geteuid().as_raw() {
        bail!("uid {} is not the operator's", peer.uid());
    }
    let pid = peer.pid().filter(|pid| *pid > 0).context("a peer without a process")?;
    // Held before anything is looked up: a number alone may be another process's by then. Older kernels have none.
    let held = getsockopt(stream, sockopt::PeerPidfd).ok();
    check_place(pid)?;
    place::refuse_bottle(pid)?;
    match held {
        Some(held) if has_ended(&held)? => bail!("process {pid} has ended"),
        _ => Ok(()),
    }
}

fn check_place(pid: i32) -> Result<()> {
    for namespace in NAMESPACES {
        let of = |process: &str| {
            let link = format!("/proc/{process}/ns/{namespace}");
            std::fs::read_link(&link).context(link)
        };
        if of(&pid.to_string())? != of("self")? {
            bail!("process {pid} is in another {namespace} namespace");
        }
    }
    let root = |process: &str| -> Result<(u64, u64)> {
        let link = format!("/proc/{process}/root");
        let found = std::fs::metadata(&link).context(link)?;
        Ok((found.dev(), found.ino()))
    };
    if root(&pid.to_string())? != root("self")? {
        bail!("process {pid} has another root directory");
    }
    Ok(())
}

/// A pidfd can be read from when its process is no more.
fn has_ended(process: &OwnedFd) -> Result<bool> {
    let mut looked = [PollFd::new(process, PollFlags::IN)];
    Ok(poll(&mut looked, Some(&Timespec::default()))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn the_operators_own_process_is_let_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        check(&one).unwrap();
    }

    #[test]
    fn another_network_or_root_is_refused() {
        let root = tempfile::tempdir().unwrap();
        // A static `sleep` is not to be had everywhere: only where namespaces can be made is there anything to test.
        for (arguments, why) in
            [(vec!["--net"], "another net namespace"), (vec!["--user"], "another user namespace")]
        {
            let child =
                Command::new("unshare").args(&arguments).args(["sleep", "30"]).stderr(Stdio::null()).spawn();
            let Ok(mut child) = child else { return eprintln!("skipped: there is no unshare(1)") };
            let pid = i32::try_from(child.id()).unwrap();
            let mut error = String::new();
            for _ in 0..200 {
                error = check_place(pid).map_or_else(|error| error.to_string(), |()| String::new());
                if error.contains(why) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let ended = child.try_wait().unwrap().is_some();
            let _ = child.kill();
            child.wait().unwrap();
            match ended {
                true => eprintln!("skipped: the kernel lets nobody make a namespace here ({arguments:?})"),
                false => assert!(error.contains(why), "{error}"),
            }
        }
        drop(root);
    }
}
