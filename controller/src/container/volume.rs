//! `--volume`: what of the host a container sees, and what it never may.
//!
//! Invariant: no volume shows Hudson's home, an engine's socket or files, another socket that a session lives by, or the
//! kernel's own file systems: neither itself, nor a folder that holds them, nor by a symbolic link.

use super::Engine;
use crate::exit::Exit;
use bollard::models::{Mount, MountBindOptions, MountType};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// The folder inside that is Hudson's.
pub(super) const INSIDE: &str = "/etc/hudson";
/// Trees of the host's that no container sees any of: kernel, devices, sockets.
const KERNEL: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/var/run", "/boot"];
/// Sockets of the session, by the variables that name them.
const SESSION: [&str; 4] = ["SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DOCKER_HOST"];

/// `SRC:DST[:ro]`, as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    source: String,
    target: String,
    read_only: bool,
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why}; write SRC:DST or SRC:DST:ro, such as ./project:/work");
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return Err(wrong("a volume has a source and a place"));
        };
        let read_only = match (parts.next(), parts.next()) {
            (None | Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => return Err(wrong("the only options are ro and rw")),
        };
        if source.is_empty() || !target.starts_with('/') {
            return Err(wrong("the place is an absolute path"));
        }
        let target = plain(Path::new(target)).ok_or_else(|| wrong("the place has no `..`"))?;
        if target == Path::new("/") || Path::new(INSIDE).starts_with(&target) || target.starts_with(INSIDE) {
            return Err(format!("{} inside is where Hudson's certificates are", target.display()));
        }
        Ok(Self { source: source.to_owned(), target: target.to_string_lossy().into_owned(), read_only })
    }
}

/// What no volume may show.
#[derive(Clone, Debug)]
pub struct Forbidden(Vec<(PathBuf, &'static str)>);

impl Forbidden {
    /// On this host, for a home and an engine, in an environment.
    pub fn new(home: &Path, engine: &Engine, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        Self::of(home, engine.socket(), engine.root(), variable)
    }

    fn of(
        home: &Path,
        socket: &Path,
        root: Option<&Path>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut paths: Vec<(PathBuf, &'static str)> = KERNEL
            .iter()
            .map(|path| (PathBuf::from(path), "the host's devices, sockets and kernel"))
            .collect();
        paths.push((home.to_owned(), "Hudson's home"));
        paths.push((socket.to_owned(), "the engine's socket"));
        paths.extend(root.map(|root| (root.to_owned(), "the engine's own files")));
        for name in SESSION {
            let Some(value) = variable(name) else { continue };
            let path = value.split([',', ';']).next().unwrap_or_default();
            let path =
                ["unix://", "unix:path="].iter().find_map(|head| path.strip_prefix(head)).unwrap_or(path);
            if path.starts_with('/') && path != "/" {
                paths.push((PathBuf::from(path), "a socket of the session"));
            }
        }
        // Both names of each: where a link leads, and the link itself.
        let real = paths
            .iter()
            .filter_map(|(path, what)| Some((path.canonicalize().ok()?, *what)))
            .collect::<Vec<_>>();
        paths.extend(real);
        Self(paths)
    }

    /// What stands against a path of the host's, which has no links in it.
    fn objection(&self, path: &Path) -> Option<String> {
        let (forbidden, what) =
            self.0.iter().find(|(one, _)| one.starts_with(path) || path.starts_with(one))?;
        Some(match path.starts_with(forbidden) {
            true => format!("{} is part of {what}", path.display()),
            false => format!("{} holds {what} ({})", path.display(), forbidden.display()),
        })
    }
}

impl Volume {
    /// The volume of the engine's that it names; `None` where it names a path.
    pub fn named(&self) -> Option<&str> {
        (!self.source.contains('/') && self.source != "." && self.source != "..")
            .then_some(self.source.as_str())
    }

    /// As the engine is told. `device` is what a named volume is made of, where it is made of a path of the host's.
    pub fn mount(&self, forbidden: &Forbidden, device: Option<&Path>) -> Result<Mount, Exit> {
        let refused = |why: String| Exit::usage(format!("--volume {}:{}: {why}", self.source, self.target));
        let mut mount =
            Mount { target: Some(self.target.clone()), read_only: Some(self.read_only), ..Mount::default() };
        if self.named().is_some() {
            if let Some(objection) = device.map(real).and_then(|path| forbidden.objection(&path)) {
                return Err(refused(objection));
            }
            mount.typ = Some(MountType::VOLUME);
            mount.source = Some(self.source.clone());
            return Ok(mount);
        }
        let path = std::path::absolute(&self.source)
            .and_then(|path| path.canonicalize())
            .map_err(|error| refused(error.to_string()))?;
        let kind = path.metadata().map_err(|error| refused(error.to_string()))?.file_type();
        if kind.is_socket() || kind.is_block_device() || kind.is_char_device() || kind.is_fifo() {
            return Err(refused(
                "only files and folders are shown to a container; this would be a way out".to_owned(),
            ));
        }
        if let Some(objection) = forbidden.objection(&path) {
            return Err(refused(objection));
        }
        mount.typ = Some(MountType::BIND);
        mount.source =
            Some(path.to_str().ok_or_else(|| refused("its path is not UTF-8".to_owned()))?.to_owned());
        // What the host mounts below it later is not the container's.
        mount.bind_options = Some(MountBindOptions {
            propagation: Some(bollard::models::MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        });
        Ok(mount)
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A path without `.` and double slashes; `None` where it goes up.
fn plain(path: &Path) -> Option<PathBuf> {
    let up = path.components().any(|part| part == Component::ParentDir);
    (!up).then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn volume(text: &str) -> Volume {
        text.parse().unwrap()
    }

    #[test]
    fn volumes_read_as_engines_write_them() {
        assert_eq!(
            volume("./a:/work//b/:ro"),
            Volume { source: "./a".to_owned(), target: "/work/b".to_owned(), read_only: true }
        );
        assert_eq!(volume("cache:/cache").named(), Some("cache"));
        assert_eq!(volume(".:/work").named(), None);
        for bad in [
            "",
            "/a",
            "/a:b",
            ":/b",
            "/a:/b:rx",
            "/a:/b:ro:ro",
            "/a:/",
            "/a:/etc",
            "/a:/etc/hudson/ca.pem",
            "/a:/x/..",
        ] {
            assert!(bad.parse::<Volume>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_would_open_the_host_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for part in ["user/.bot-bottle/run", "user/project", "engine/data", "elsewhere"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        let at = |part: &str| root.join(part).display().to_string();
        symlink(root.join("user/.bot-bottle"), root.join("user/project/link")).unwrap();
        let socket = root.join("elsewhere/agent.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let forbidden = Forbidden::of(
            &root.join("user/.bot-bottle"),
            &root.join("engine/docker.sock"),
            Some(&root.join("engine/data")),
            &|name| (name == "SSH_AUTH_SOCK").then(|| at("elsewhere/agent.sock")),
        );
        let refused = |source: &str| {
            volume(&format!("{source}:/x")).mount(&forbidden, None).err().map(|error| error.message)
        };
        for source in
            ["/", "/proc", "/sys", "/dev", "/run", "/var/run", "/dev/null", "/proc/self", "/missing/path"]
        {
            assert!(refused(source).is_some(), "{source}");
        }
        for source in [
            "user/.bot-bottle",
            "user/.bot-bottle/run",
            "user",
            "user/project/link",
            "engine",
            "engine/data",
            "elsewhere",
            "elsewhere/agent.sock",
            "user/project/../.bot-bottle",
        ] {
            assert!(refused(&at(source)).is_some(), "{source}");
        }
        assert!(refused(&at("user")).unwrap().contains("holds Hudson's home"));
        assert_eq!(refused(&at("user/project")), None);
        let named = volume("cache:/x");
        assert!(named.mount(&forbidden, None).is_ok());
        assert!(named.mount(&forbidden, Some(&root.join("user"))).is_err());
    }
}
