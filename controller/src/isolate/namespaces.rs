//! The outer helper: makes the namespaces, brings up loopback, and watches over the init until the end.
//!
//! Invariants: it is outside of the pid namespace, so nothing inside can see or signal it; when `hudson run` ends,
//! however it does, the init is killed, and with it everything inside.

use super::INIT;
use super::message::{self, Word};
use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SendFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

/// The helper's whole life; its exit code.
pub(super) fn run(control: UnixStream) -> u8 {
    match enter(&control).and_then(|init| watch(&control, init)) {
        Ok(code) => code,
        Err(error) => message::fail(&control, &error),
    }
}

fn enter(control: &UnixStream) -> Result<Child> {
    close_others(control)?;
    new_user(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP,
    )?;
    die_with_parent()?;
    loopback_up().context("bringing up loopback in the new network namespace")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("listening in the new network namespace, where loopback should be free")?;
    message::send(control, &Word::Listening, Some(listener.as_fd()))?;
    keep_capabilities().context("keeping capabilities for the init")?;
    Command::new("/proc/self/exe")
        .arg(INIT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(control.try_clone()?)))
        .spawn()
        .context("starting the first process of the pid namespace")
}

/// Waits for the init's end, and brings it about when `hudson run` is gone.
fn watch(control: &UnixStream, mut init: Child) -> Result<u8> {
    let pid = i32::try_from(init.id()).ok().and_then(Pid::from_raw).context("the init has no pid")?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).context("watching the init")?;
    loop {
        // No event is asked for of the socket: its other end closing is told in any case.
        let mut watched = [PollFd::new(&handle, PollFlags::IN), PollFd::new(control, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => bail!("watching the init: {error}"),
        }
        let [ended, control] = &watched;
        if ended.revents().is_empty() && !control.revents().is_empty() {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
        if !ended.revents().is_empty() || !control.revents().is_empty() {
            break;
        }
    }
    let status = init.wait().context("waiting for the init")?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Closes what the caller of `hudson run` has left open: a folder or a socket of the host would lead out.
fn close_others(control: &UnixStream) -> Result<()> {
    use std::os::fd::AsRawFd;
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").context("/proc is needed")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in open.into_iter().filter(|number| *number > 2 && *number != control.as_raw_fd()) {
        // The one by which the list was read is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Enters a user namespace, and others that it will own, in which this user and group are what they are outside.
pub(super) fn new_user(others: CloneFlags) -> Result<()> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | others).map_err(|errno| {
        anyhow::anyhow!(
            "new namespaces are refused ({errno}); see the sysctls user.max_user_namespaces, \
             kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
        )
    })?;
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text).with_context(|| {
            format!(
                "writing {file} of the new user namespace; see the sysctl \
                 kernel.apparmor_restrict_unprivileged_userns"
            )
        })
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{user} {user} 1"))?;
    write("gid_map", format!("{group} {group} 1"))
}

/// Has the kernel kill this process when its parent ends.
pub(super) fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("PR_SET_PDEATHSIG")
}

/// Who is not root loses capabilities at an exec, unless they are ambient.
fn keep_capabilities() -> rustix::io::Result<()> {
    let held = rustix::thread::capabilities(None)?.permitted;
    let sets = CapabilitySets { effective: held, permitted: held, inheritable: held };
    rustix::thread::set_capabilities(None, sets)?;
    for capability in CapabilitySet::all().iter().filter(|one| held.contains(*one)) {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Sets IFF_UP on the first interface, which is loopback; the kernel then gives it 127.0.0.1.
///
/// By netlink rather than ioctl: the bytes of one message need no unsafe code.
fn loopback_up() -> Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    const UP: u32 = 1;
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut request = Vec::with_capacity(32);
    request.extend(32_u32.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    // Sequence and port; family and type; the interface's index, its flags, and which of them change.
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(1_i32.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 1024];
    rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    // A header of 16 bytes, then the error, 0 where it was done.
    match answer.get(16..20) {
        Some([0, 0, 0, 0]) => Ok(()),
        Some(error) => bail!("the kernel's answer is {error:?}"),
        None => bail!("no answer"),
    }
}
