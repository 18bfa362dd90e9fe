//! A cgroup of a bottle's own: by it a freeze and a kill reach every process of the bottle at once, those too that left
//! their group, their session and their parents.
//!
//! Invariants: a process gets out of its cgroup by nothing that it may do in an isolated bottle; where the host lets
//! nobody make one, that is no error, and the bottle is reached by what can be found of it.

use crate::exit::Exit;
use anyhow::{Context, Result, bail};
use hudson_schema::RunId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::time::Instant;

/// The hidden subcommand by which this program enters a cgroup and becomes another program.
const JOIN: &str = "__bottle-join";
/// How long the kernel has to stop, or end, what is in one.
const WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A cgroup, of version 2 or of version 1's freezer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cgroup {
    path: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// Makes one below this process's own; `None` where the host lets nobody.
    pub fn make(run: &RunId) -> Option<Self> {
        own_places().into_iter().find_map(|place| Self::make_in(&place, run))
    }

    fn make_in(place: &Path, run: &RunId) -> Option<Self> {
        let path = place.join(format!("hudson-{run}"));
        fs::create_dir(&path).ok()?;
        let found = Self::open(path.clone());
        if found.is_none() {
            // Of a kernel that can neither freeze nor kill what is in it.
            let _ = fs::remove_dir(path);
        }
        found
    }

    /// One that was made before; `None` when it is gone.
    pub fn open(path: PathBuf) -> Option<Self> {
        // Only what this program has made: the path may come from a ledger.
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("hudson-")?.parse::<RunId>().ok()?;
        let has = |file: &str| path.join(file).exists();
        match (has("cgroup.freeze") && has("cgroup.kill"), has("freezer.state")) {
            (true, _) => Some(Self { path, unified: true }),
            (false, true) => Some(Self { path, unified: false }),
            (false, false) => None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that enters it and then becomes `program`.
    pub fn command(&self, program: &[OsString]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg(JOIN).arg(&self.path).args(program);
        command
    }

    /// Stops every process in it; how many there are. None of them runs when it returns.
    pub async fn freeze(&self) -> Result<usize> {
        let (file, word) = if self.unified { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        let until = Instant::now() + WITHIN;
        loop {
            // The older kind gives up where a process cannot be stopped just then, and has to be told again.
            self.write(file, word)?;
            if self.is_frozen()? {
                return Ok(self.members().len());
            }
            if Instant::now() >= until {
                bail!("the kernel has not frozen {} within {WITHIN:?}", self.path.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Has every process in it go on.
    pub fn thaw(&self) -> Result<()> {
        match self.unified {
            true => self.write("cgroup.freeze", "0"),
            false => self.write("freezer.state", "THAWED"),
        }
    }

    /// Ends every process in it; how many there were.
    pub async fn kill(&self) -> Result<usize> {
        let count = self.members().len();
        let until = Instant::now() + WITHIN;
        while !self.members().is_empty() {
            self.kill_once()?;
            if Instant::now() >= until {
                bail!("the kernel has not ended all of {} within {WITHIN:?}", self.path.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(count)
    }

    fn kill_once(&self) -> Result<()> {
        if self.unified {
            return self.write("cgroup.kill", "1");
        }
        // Frozen, so that nothing is forked past the list; the signal is delivered as they are thawed.
        self.write("freezer.state", "FROZEN")?;
        for pid in self.members() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.thaw()
    }

    /// The living processes in it and below it.
    pub fn members(&self) -> Vec<i32> {
        members(&self.path)
    }

    /// Takes it away. What still runs in it goes back to where this process is.
    pub async fn disband(&self) {
        let until = Instant::now() + Duration::from_millis(500);
        while self.path.exists() && Instant::now() < until {
            if let Some(above) = self.path.parent() {
                for pid in self.members() {
                    let _ = fs::write(above.join("cgroup.procs"), pid.to_string());
                }
            }
            if !remove(&self.path) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    fn is_frozen(&self) -> Result<bool> {
        let (file, word) =
            if self.unified { ("cgroup.events", "frozen 1") } else { ("freezer.state", "FROZEN") };
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().any(|line| line == word))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("writing {text} to {}", path.display()))
    }
}

/// Enters a cgroup by its path.
pub fn enter(path: &Path) -> Result<()> {
    let file = path.join("cgroup.procs");
    // 0 is the process that writes, also in a pid namespace of its own.
    fs::write(&file, "0").with_context(|| format!("entering the bottle's cgroup by {}", file.display()))
}

/// Becomes another program inside of a cgroup, where this process is asked for that.
pub fn join(arguments: &[OsString]) -> Option<ExitCode> {
    let (own, argv) = arguments.get(1..)?.split_first()?;
    if own != JOIN {
        return None;
    }
    let error = become_program(argv);
    eprintln!("hudson: {error:#}");
    Some(ExitCode::from(crate::exit::code_of(&error)))
}

fn become_program(arguments: &[OsString]) -> anyhow::Error {
    let Some((path, [program, rest @ ..])) = arguments.split_first() else {
        return anyhow::anyhow!("there is no command to run");
    };
    match enter(Path::new(path)) {
        Ok(()) => Exit::not_started(program, &Command::new(program).args(rest).exec()).into(),
        Err(error) => error,
    }
}

/// The cgroups of this process by which something can be frozen: of version 2, then of version 1's freezer.
fn own_places() -> Vec<PathBuf> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

fn places(mountinfo: &str, cgroup: &str) -> Vec<PathBuf> {
    let own = |unified: bool| {
        cgroup.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let matches = match unified {
                true => controllers.is_empty(),
                false => controllers.split(',').any(|name| name == "freezer"),
            };
            matches.then_some(path)
        })
    };
    let mounts = |unified: bool| {
        mountinfo.lines().filter_map(move |line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let (root, point) = (mount.next()?, mount.next()?);
            let mut filesystem = filesystem.split(' ');
            let kind = filesystem.next()?;
            let freezer = filesystem.nth(1)?.split(',').any(|option| option == "freezer");
            let matches = if unified { kind == "cgroup2" } else { kind == "cgroup" && freezer };
            matches.then_some((root, point))
        })
    };
    let mut places = Vec::new();
    for unified in [true, false] {
        let Some(own) = own(unified) else { continue };
        for (root, point) in mounts(unified) {
            let Ok(below) = Path::new(own).strip_prefix(root) else { continue };
            places.push(Path::new(point).join(below));
        }
    }
    places
}

fn members(path: &Path) -> Vec<i32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for below in folders(path) {
        found.extend(members(&below));
    }
    found
}

fn remove(path: &Path) -> bool {
    for below in folders(path) {
        remove(&below);
    }
    fs::remove_dir(path).is_ok()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_both_versions_are_found() {
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            36 31 0:33 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n\
            41 31 0:38 /slice /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        let cgroup = "6:freezer:/a/b\n4:memory:/m\n0::/slice/own\n";
        let found = places(mountinfo, cgroup);
        let expected = ["/sys/fs/cgroup/unified/own", "/sys/fs/cgroup/freezer/a/b"].map(PathBuf::from);
        assert_eq!(found, expected);
        assert!(places("", cgroup).is_empty() && places("nonsense\n", "nonsense\n").is_empty());
    }

    #[test]
    fn a_path_that_this_program_has_not_made_is_none_of_its_own() {
        for path in ["/", "/sys/fs/cgroup", "/sys/fs/cgroup/unified/user.slice", "hudson-"] {
            assert_eq!(Cgroup::open(PathBuf::from(path)), None, "{path}");
        }
    }

    /// A process that counts in a file for as long as it runs, and has left its group and session.
    fn counting(cgroup: &Cgroup, beat: &Path) -> std::process::Child {
        let script =
            format!("(setsid sh -c 'while :; do echo >> {}; sleep 0.01; done' &) ; sleep 60", beat.display());
        let file = cgroup.path().join("cgroup.procs");
        // The shell enters by itself: this test is no `hudson`.
        let enter = format!("echo 0 > {}; {script}", file.display());
        Command::new("sh").args(["-c", &enter]).spawn().unwrap()
    }

    fn length(file: &Path) -> u64 {
        fs::metadata(file).map_or(0, |found| found.len())
    }

    #[tokio::test]
    async fn what_is_inside_is_frozen_thawed_and_killed_whatever_it_left() {
        for place in own_places() {
            let run: RunId = uuid::Uuid::now_v7().to_string().parse().unwrap();
            // Who may not make one has nothing to be tested here; CI is root.
            let Some(cgroup) = Cgroup::make_in(&place, &run) else { continue };
            let folder = tempfile::tempdir().unwrap();
            let beat = folder.path().join("beat");
            let mut child = counting(&cgroup, &beat);
            while length(&beat) < 5 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let began = Instant::now();
            assert!(cgroup.freeze().await.unwrap() >= 3);
            let took = began.elapsed();
            let before = length(&beat);
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(length(&beat), before, "it ran on in {}", place.display());
            // Frozen twice is frozen.
            cgroup.freeze().await.unwrap();
            cgroup.thaw().unwrap();
            while length(&beat) == before {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            cgroup.freeze().await.unwrap();
            assert!(cgroup.kill().await.unwrap() >= 3);
            assert!(cgroup.members().is_empty());
            child.wait().unwrap();
            cgroup.disband().await;
            assert!(!cgroup.path().exists());
            eprintln!("{}: frozen in {took:?}", place.display());
        }
    }
}
