//! The bottle's view of the file system: a new root with the system's folders, places of its own, and what the plan
//! names.
//!
//! Invariants: the host's root is unmounted before anything is started; when [`close`] has succeeded, only what the plan
//! calls writable is.

use super::plan::{EMPTY, Plan, SYSTEM};
use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    mount_remount, move_mount, open_tree, unmount,
};
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the new root is made; every host has it, and it is covered for this process alone.
const STAGE: &str = "/tmp";
/// Where the host's root is in the new one until everything is taken from it.
const HOST: &str = "/.host";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes it the root of this process.
pub(super) fn build(plan: &Plan) -> Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("making the mounts private")?;
    let taken = Taken::from_host(plan)?;
    tmpfs(Path::new(STAGE), c"mode=0755")?;
    std::env::set_current_dir(STAGE)?;
    fs::create_dir(format!("{STAGE}{HOST}"))?;
    rustix::process::pivot_root(".", format!("{STAGE}{HOST}")).context("taking the new root")?;
    std::env::set_current_dir("/")?;
    for (link, target) in &taken.links {
        make_link(link, target)?;
    }
    put(taken.system)?;
    devices(taken.devices)?;
    kernel()?;
    for place in EMPTY {
        make_folder(Path::new(place))?;
        tmpfs(Path::new(place), if place == "/run" { c"mode=0755" } else { c"mode=1777" })?;
    }
    make_link(Path::new("/var/run"), Path::new("/run"))?;
    if let Some(home) = plan.home.as_deref() {
        make_folder(home)?;
        tmpfs(home, c"mode=0700")?;
    }
    put(taken.binds)?;
    for (link, target) in &plan.links {
        make_link(link, target)?;
    }
    // Last, so that it lies above whatever would show it.
    make_folder(&plan.hudson)?;
    tmpfs(&plan.hudson, c"mode=0755")?;
    put(taken.certificates)?;
    unmount(HOST, UnmountFlags::DETACH).context("leaving the host's root")?;
    Ok(fs::remove_dir(HOST)?)
}

/// Makes everything read-only that the plan does not call writable.
pub(super) fn close(plan: &Plan) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the new mounts")?;
    let closed: Vec<(PathBuf, MountFlags)> =
        mounts.lines().filter_map(entry).filter(|(path, _)| !plan.is_writable(path)).collect();
    for (path, flags) in &closed {
        let flags = *flags | MountFlags::BIND | MountFlags::RDONLY;
        // One that another mount covers cannot be reached by its path; what can be reached is looked at below.
        let _ = mount_remount(path.as_path(), flags, c"");
    }
    for (path, _) in &closed {
        match rustix::fs::statvfs(path.as_path()) {
            Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => {}
            Ok(_) => bail!("{} stays writable", path.display()),
            // Covered, or out of this user's reach: nothing can be written by this path.
            Err(_) => {}
        }
    }
    Ok(())
}

/// A line of mountinfo: where, and the flags that a remount has to keep.
fn entry(line: &str) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(' ').skip(4);
    let (path, options) = (fields.next()?, fields.next()?);
    let mut flags = MountFlags::empty();
    for option in options.split(',') {
        flags |= match option {
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            _ => MountFlags::empty(),
        };
    }
    Some((unescaped(path), flags))
}

/// Blanks, tabs, line breaks and backslashes stand there as three octal digits.
fn unescaped(path: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// A piece of the host, held open: where it goes, and whether it is a folder.
struct Piece {
    to: PathBuf,
    tree: OwnedFd,
    folder: bool,
}

/// What is taken from the host before its root goes.
struct Taken {
    links: Vec<(PathBuf, PathBuf)>,
    system: Vec<Piece>,
    devices: Vec<Piece>,
    binds: Vec<Piece>,
    certificates: Vec<Piece>,
}

impl Taken {
    fn from_host(plan: &Plan) -> Result<Self> {
        let mut taken = Self {
            links: Vec::new(),
            system: Vec::new(),
            devices: Vec::new(),
            binds: Vec::new(),
            certificates: Vec::new(),
        };
        for path in SYSTEM.map(PathBuf::from) {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => taken.links.push((path.clone(), fs::read_link(path)?)),
                Ok(_) => taken.system.push(piece(&path)?),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        for name in DEVICES {
            taken.devices.push(piece(&Path::new("/dev").join(name))?);
        }
        for bind in &plan.binds {
            taken.binds.push(piece(&bind.path)?);
        }
        for path in &plan.certificates {
            taken.certificates.push(piece(path)?);
        }
        Ok(taken)
    }
}

fn piece(path: &Path) -> Result<Piece> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let folder = fs::symlink_metadata(path).with_context(|| format!("showing {}", path.display()))?.is_dir();
    let tree = open_tree(CWD, path, flags).with_context(|| format!("showing {}", path.display()))?;
    Ok(Piece { to: path.to_owned(), tree, folder })
}

fn put(pieces: Vec<Piece>) -> Result<()> {
    for piece in pieces {
        let to = piece.to.as_path();
        match piece.folder {
            true => make_folder(to)?,
            false => make_file(to)?,
        }
        move_mount(&piece.tree, "", CWD, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .with_context(|| format!("showing {}", to.display()))?;
    }
    Ok(())
}

/// `/dev`, with nothing in it that leads to a disk or to another's terminal.
fn devices(pieces: Vec<Piece>) -> Result<()> {
    make_folder(Path::new("/dev"))?;
    tmpfs(Path::new("/dev"), c"mode=0755")?;
    put(pieces)?;
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        make_link(Path::new(link), Path::new(target))?;
    }
    make_folder(Path::new("/dev/shm"))?;
    tmpfs(Path::new("/dev/shm"), c"mode=1777")?;
    make_folder(Path::new("/dev/pts"))?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", "/dev/pts", "devpts", flags, c"newinstance,ptmxmode=0666,mode=0620")
        .context("mounting /dev/pts")
}

/// `/proc` of the pid namespace and `/sys` of the network namespace.
fn kernel() -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    make_folder(Path::new("/proc"))?;
    mount("proc", "/proc", "proc", flags, c"").context(
        "mounting /proc of the new pid namespace (refused inside of containers that hide parts of their own)",
    )?;
    make_folder(Path::new("/sys"))?;
    // Where the kernel refuses it there is an empty folder in its place: little depends on it, and nothing is shown.
    if mount("sysfs", "/sys", "sysfs", flags, c"").is_err() {
        tmpfs(Path::new("/sys"), c"mode=0755")?;
    }
    Ok(())
}

fn tmpfs(at: &Path, options: &CStr) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", at, "tmpfs", flags, CString::from(options).as_c_str())
        .with_context(|| format!("mounting an empty {}", at.display()))
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

fn make_file(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    made.map(drop).with_context(|| format!("making {}", path.display()))
}

/// A link as the host has it, where nothing is in its place.
fn make_link(link: &Path, target: &Path) -> Result<()> {
    if fs::symlink_metadata(link).is_ok() {
        return Ok(());
    }
    if let Some(parent) = link.parent() {
        make_folder(parent)?;
    }
    symlink(target, link).with_context(|| format!("making {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_the_flags_that_have_to_stay() {
        let line = r"36 35 98:0 /a /mnt/with\040blank rw,nosuid,noatime,nodev master:1 - ext3 /dev/root rw";
        let (path, flags) = entry(line).unwrap();
        assert_eq!(path, Path::new("/mnt/with blank"));
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NODEV);
    }
}
