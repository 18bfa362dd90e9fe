//! Which of the host's files a bottle sees, decided outside before anything is started.
//!
//! Invariants: what is not named here is not there; Hudson's home is inside of nothing that is shown, and the operator's
//! home and the places that every process shares are shown only below themselves.

use crate::exit::Exit;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// The system's folders, shown as they are and read-only.
pub(super) const SYSTEM: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/var/lib/dpkg",
    "/var/lib/ca-certificates",
];
/// Places of the bottle's own, empty and writable.
pub(super) const EMPTY: [&str; 3] = ["/tmp", "/var/tmp", "/run"];
/// Places that are made for each bottle.
pub(super) const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What a launch wants to be seen.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The operator's home, `$HOME`.
    pub home: Option<PathBuf>,
    /// Hudson's home.
    pub hudson: &'a Path,
    /// The working directory.
    pub directory: PathBuf,
    /// `--show`.
    pub show: &'a [PathBuf],
    /// Folders that were made for this launch, writable.
    pub made: Vec<PathBuf>,
    /// The command.
    pub program: &'a OsStr,
    /// The `PATH` by which it is found.
    pub path: OsString,
}

/// What the bottle sees beside the system's folders.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// The operator's home, to be empty.
    pub(super) home: Option<PathBuf>,
    /// Hudson's home, to be empty but for `certificates`.
    pub(super) hudson: PathBuf,
    /// The certificates that the environment names.
    pub(super) certificates: Vec<PathBuf>,
    /// The host's own, outer ones first.
    pub(super) binds: Vec<Bind>,
    /// Symbolic links of the host by which those are named: where, and to what.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// The working directory.
    pub(super) directory: PathBuf,
    /// The cgroup that everything inside is in, if there is one.
    pub cgroup: Option<PathBuf>,
}

/// A file or folder of the host's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Bind {
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl Plan {
    /// Decides, or refuses what would show more than was meant.
    pub fn new(wish: &Wish<'_>) -> Result<Self> {
        let hudson = real(wish.hudson);
        // A home that holds the system, such as `/`, is nobody's.
        let own = |home: &PathBuf| !fixed().any(|place| place.starts_with(home));
        let home = wish.home.as_deref().filter(|home| home.is_absolute()).map(real).filter(own);
        let directory = real(&wish.directory);
        let kept = Kept { home: home.clone(), hudson: hudson.clone() };
        kept.check_directory(&directory)?;
        let mut named = vec![wish.directory.clone(), wish.hudson.to_owned()];
        named.extend(wish.home.clone());
        let mut binds = vec![Bind { path: directory.clone(), writable: true }];
        for path in wish.show {
            let shown = std::path::absolute(path)?;
            let real = std::fs::canonicalize(&shown)
                .map_err(|error| Exit::usage(format!("--show {}: {error}", path.display())))?;
            kept.check_shown(path, &real)?;
            named.push(shown);
            binds.push(Bind { path: real, writable: false });
        }
        for path in &wish.made {
            named.push(path.clone());
            binds.push(Bind { path: real(path), writable: true });
        }
        if let Some(program) = found(wish) {
            for place in [program.clone(), real(&program)] {
                binds.extend(
                    kept.beside(&place)
                        .filter(|path| !is_seen(path, &binds))
                        .map(|path| Bind { path, writable: false }),
                );
            }
            named.push(program);
        }
        // What lies inside of something else is put on top of it.
        binds.sort_by_key(|bind| bind.path.components().count());
        binds.dedup_by(|later, earlier| later.path == earlier.path);
        let links = named.iter().flat_map(|path| links(path)).collect();
        let certificates = ["ca.pem", "bundle.pem"].map(|name| hudson.join("ca").join(name)).into();
        // One that is missing is made, though not in the system's folders, which are the host's.
        let home = home.filter(|home| home.is_dir() || !is_system(home));
        Ok(Self { home, hudson, certificates, binds, links, directory, cgroup: None })
    }

    /// Whether a mount at this path may be written to: the innermost of what is planned around it decides.
    pub(super) fn is_writable(&self, path: &Path) -> bool {
        let own = EMPTY.iter().chain(&["/dev/shm", "/dev/pts"]).map(|place| (Path::new(place), true));
        let others = [(Path::new("/"), false), (self.hudson.as_path(), false)];
        let system = SYSTEM.iter().chain(&KERNEL).map(|place| (Path::new(place), false));
        let home = self.home.iter().map(|home| (home.as_path(), true));
        let binds = self.binds.iter().map(|bind| (bind.path.as_path(), bind.writable));
        own.chain(others)
            .chain(system)
            .chain(home)
            .chain(binds)
            .filter(|(place, _)| path.starts_with(place))
            .max_by_key(|(place, writable)| (place.components().count(), *writable))
            .is_some_and(|(_, writable)| writable)
    }
}

/// What is never shown as a whole.
struct Kept {
    home: Option<PathBuf>,
    hudson: PathBuf,
}

impl Kept {
    /// Whether a folder holds a home, or a place that every process shares.
    fn holds(&self, path: &Path) -> Option<&Path> {
        let homes = self.home.iter().map(PathBuf::as_path).chain([self.hudson.as_path()]);
        homes.chain(fixed()).find(|place| place.starts_with(path))
    }

    fn check_directory(&self, directory: &Path) -> Result<()> {
        let place = directory.display();
        let own = KERNEL.iter().chain(&["/run"]).any(|kernel| directory.starts_with(kernel));
        let why = match self.holds(directory) {
            Some(held) if held == directory && self.home.as_deref() == Some(held) => {
                "it is your home".to_owned()
            }
            Some(held) if held == directory => "every process of this host uses it".to_owned(),
            Some(held) => format!("{} is in it", held.display()),
            None if directory.starts_with(&self.hudson) => "it is in Hudson's home".to_owned(),
            None if own => "a bottle has one of its own in its place".to_owned(),
            None => return Ok(()),
        };
        Err(Exit::usage(format!(
            "an isolated bottle has its working directory read-write, and {place} cannot be that: {why}; go to a project \
             directory first, or start it unenforced with `--isolation none`"
        ))
        .into())
    }

    fn check_shown(&self, named: &Path, real: &Path) -> Result<()> {
        let why = if self.hudson.starts_with(real) || real.starts_with(&self.hudson) {
            "Hudson's home would be seen"
        } else if KERNEL.iter().any(|place| real.starts_with(place)) {
            "a bottle has its own in its place"
        } else {
            return Ok(());
        };
        Err(Exit::usage(format!("--show {}: {why}; name something else", named.display())).into())
    }

    /// What has to be shown for this program to be started: its folder, or itself where that would be too much.
    fn beside(&self, program: &Path) -> Option<PathBuf> {
        let folder = real(program.parent()?);
        if folder.starts_with(&self.hudson) || KERNEL.iter().any(|place| folder.starts_with(place)) {
            return None;
        }
        match self.holds(&folder) {
            None => Some(folder),
            Some(_) => Some(folder.join(program.file_name()?)).filter(|file| !file.is_symlink()),
        }
    }
}

/// Places that are every process's.
fn fixed<'a>() -> impl Iterator<Item = &'a Path> {
    SYSTEM.iter().chain(&EMPTY).chain(&KERNEL).map(|place| Path::new(*place))
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|place| path.starts_with(place))
}

fn is_seen(path: &Path, binds: &[Bind]) -> bool {
    is_system(path) || binds.iter().any(|bind| path.starts_with(&bind.path))
}

/// The program as `execvp` finds it.
fn found(wish: &Wish<'_>) -> Option<PathBuf> {
    let program = Path::new(wish.program);
    if program.components().count() > 1 || program.is_absolute() {
        return Some(wish.directory.join(program)).filter(|path| path.is_file());
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&wish.path).map(|folder| wish.directory.join(folder).join(program)).find(is_program)
}

/// The path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let Ok(found) = std::fs::canonicalize(existing) {
            return match path.strip_prefix(existing) {
                Ok(rest) if rest.as_os_str().is_empty() => found,
                Ok(rest) => found.join(rest),
                Err(_) => path.to_owned(),
            };
        }
    }
    path.to_owned()
}

/// The symbolic links on the way to a path, each where it really is.
fn links(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut links = Vec::new();
    let mut path = path.to_owned();
    // As many as the kernel follows.
    for _ in 0..40 {
        let prefixes: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
        let Some(link) = prefixes.into_iter().rev().find(|prefix| prefix.is_symlink()) else { break };
        let Ok(target) = std::fs::read_link(&link) else { break };
        let Ok(rest) = path.strip_prefix(&link).map(Path::to_owned) else { break };
        let from = link.parent().unwrap_or(Path::new("/")).to_owned();
        path = normal(&from.join(&target).join(rest));
        links.push((link, target));
    }
    links
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests;
