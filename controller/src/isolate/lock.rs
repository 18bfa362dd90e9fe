//! What is taken from the command before it starts: capabilities, and calls by which a bottle could reach the host.
//!
//! Invariant: nothing that is started afterwards can get any of it back.

use anyhow::{Context, Result};
use nix::libc;
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// Denied whatever their arguments: keyrings, which no namespace parts; the mount family and other namespaces; handles
/// of files, which pass every mount by; and parts of the kernel that no agent needs.
const DENIED: [libc::c_long; 23] = [
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    // What goes through its rings passes this filter by.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];
/// Puts bytes into the operator's terminal as if they were typed, and what Linux consoles have beside it.
const TERMINAL: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];
/// Sockets that network namespaces part: the others, such as vsock to the host of a virtual machine, are a way out.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// On x86-64, the same calls have a second number each, where the kernel knows that ABI.
const X32: i64 = 0x4000_0000;
const X32_IOCTL: i64 = X32 + 514;

/// Drops every capability, for this process and for whatever it starts, and the ways to gain one.
pub(super) fn drop_capabilities() -> Result<()> {
    for capability in CapabilitySet::all().iter() {
        // One that this kernel does not know is in no set.
        if rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            rustix::thread::remove_capability_from_bounding_set(capability)
                .context("emptying the bounding set of capabilities")?;
        }
    }
    rustix::thread::clear_ambient_capability_set().context("clearing ambient capabilities")?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).context("dropping capabilities")?;
    rustix::thread::set_no_new_privs(true).context("PR_SET_NO_NEW_PRIVS")?;
    // The init has the command's uid: not to be traced by it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("PR_SET_DUMPABLE")
}

/// Has the kernel refuse the calls above to this process and to whatever it starts.
pub(super) fn filter_calls() -> Result<()> {
    let refused = filters().context("writing the filter of system calls")?;
    for program in &refused {
        seccompiler::apply_filter(program).context("setting the filter of system calls")?;
    }
    Ok(())
}

fn filters() -> Result<[BpfProgram; 2]> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = |rules, errno: i32| -> Result<BpfProgram> {
        let refused = SeccompAction::Errno(u32::try_from(errno)?);
        Ok(SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?.try_into()?)
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in DENIED {
        rules.insert(call, Vec::new());
        rules.insert(call + X32, Vec::new());
    }
    let new_user = u64::try_from(libc::CLONE_NEWUSER)?;
    for call in [libc::SYS_unshare, libc::SYS_clone] {
        for number in [call, call + X32] {
            let same = SeccompCmpOp::MaskedEq(new_user);
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, same, new_user)?;
            rules.insert(number, vec![SeccompRule::new(vec![condition])?]);
        }
    }
    for number in [libc::SYS_ioctl, libc::SYS_ioctl + X32, X32_IOCTL] {
        let mut any = Vec::new();
        for request in TERMINAL {
            // The kernel looks at 32 bits of it, so the filter may not look at more.
            let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?;
            any.push(SeccompRule::new(vec![condition])?);
        }
        rules.insert(number, any);
    }
    let mut other = Vec::new();
    for family in FAMILIES {
        let family = u64::try_from(family)?;
        other.push(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)?);
    }
    for number in [libc::SYS_socket, libc::SYS_socket + X32] {
        rules.insert(number, vec![SeccompRule::new(other.clone())?]);
    }
    // Its flags are in memory, where no filter reads. Every C library falls back to clone.
    let unknown = [libc::SYS_clone3, libc::SYS_clone3 + X32].map(|number| (number, Vec::new()));
    Ok([filter(rules, libc::EPERM)?, filter(BTreeMap::from(unknown), libc::ENOSYS)?])
}
