//! Whether a process is in a bottle: who is decides nothing, also where nothing but its proxy variables keeps it from the
//! operator's own files (`--isolation none`).
//!
//! Invariants: a process is outside only where everything above it says so; what cannot be found out is inside. A process
//! of a bottle that `hudson run` still holds has that `hudson run` above it, whatever it does: orphans become its
//! children.

use crate::cli::{Cli, Command};
use anyhow::{Result, bail};
use clap::Parser as _;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The variables by which a bottle finds its proxy.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
/// Processes above one that are looked at; nobody nests so deep.
const DEEPEST: usize = 512;
/// How often it is begun again when processes end meanwhile.
const ATTEMPTS: usize = 20;

/// Refuses a process that is in a bottle, or cannot be told from one.
pub(crate) fn refuse_bottle(pid: i32) -> Result<()> {
    let Some(chain) = chain(pid)? else {
        bail!(
            "what is above process {pid} keeps changing, so that it cannot be told from one in a bottle; try again"
        )
    };
    let own = fs::read_link("/proc/self/exe").unwrap_or_default();
    match mark(&chain, &own) {
        Some(mark) => bail!(
            "process {pid} is in a bottle: {mark}. Nothing is decided and no limit is changed from inside of a bottle; do \
             it from a shell that no bottle has started"
        ),
        None => Ok(()),
    }
}

/// What is known of one process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Seen {
    pid: i32,
    /// When it began: a number alone may be another process's by then.
    began: String,
    arguments: Vec<OsString>,
    /// What it was started with; empty where that may not be read.
    environment: Vec<u8>,
    program: Option<PathBuf>,
    cgroups: String,
}

/// What says that the first of these is in a bottle. Each is the parent of the one before.
fn mark(chain: &[Seen], own: &Path) -> Option<String> {
    let (asked, above) = chain.split_first()?;
    if let Some(name) = asked.cgroups.lines().find_map(bottle_cgroup) {
        return Some(format!("its cgroup is {name}"));
    }
    for seen in chain {
        if let Some(name) = PROXY.into_iter().find(|name| names_bottle(&seen.environment, name)) {
            return Some(match seen.pid == asked.pid {
                true => format!("its {name} has the credentials of a run"),
                false => format!(
                    "it was started by process {}, whose {name} has the credentials of a run",
                    seen.pid
                ),
            });
        }
    }
    let holder = above.iter().find(|seen| holds_bottle(seen, own))?;
    Some(format!("it was started by `hudson run` (process {})", holder.pid))
}

/// The name of a bottle's cgroup in a line of `/proc/PID/cgroup`.
fn bottle_cgroup(line: &str) -> Option<&str> {
    line.split('/').find(|part| part.strip_prefix("hudson-").is_some_and(is_run))
}

/// Whether a variable names a proxy with a run's credentials, as `http://RUN:PASSWORD@…`.
fn names_bottle(environment: &[u8], name: &str) -> bool {
    let values = environment.split(|byte| *byte == 0).filter_map(|one| {
        let (left, value) = one.split_at_checked(name.len())?;
        (left == name.as_bytes()).then(|| value.strip_prefix(b"="))?
    });
    values.filter_map(|value| std::str::from_utf8(value).ok()).any(|url| {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let user = authority.split_once('@').and_then(|(user, _)| user.split(':').next());
        user.is_some_and(is_run)
    })
}

/// Runs are UUIDs: no name that people give to a proxy's user is one.
fn is_run(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Whether a process is the `hudson` that holds a bottle, or a helper of it.
fn holds_bottle(seen: &Seen, own: &Path) -> bool {
    let Some(first) = seen.arguments.first() else { return false };
    let is_hudson = |path: &Path| {
        // A program that was replaced while it ran has a mark behind its name.
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        name == b"hudson" || own.file_name().is_some_and(|own| own.as_bytes() == name)
    };
    if !is_hudson(Path::new(first)) && !seen.program.as_deref().is_some_and(is_hudson) {
        return false;
    }
    if seen.arguments.get(1).is_some_and(|word| word.as_bytes().starts_with(b"__bottle-")) {
        return true;
    }
    match Cli::try_parse_from(&seen.arguments) {
        Ok(cli) => matches!(cli.command, Command::Run(_)),
        // Another version may have other options.
        Err(_) => seen.arguments.iter().take_while(|word| *word != "--").any(|word| word == "run"),
    }
}

/// A process and all above it; `None` where that changes all the time.
fn chain(pid: i32) -> Result<Option<Vec<Seen>>> {
    let mut before = None;
    for _ in 0..ATTEMPTS {
        let now = walk(pid)?;
        // Two looks that agree have seen what was there at one time.
        if now.is_some() && now == before {
            return Ok(now);
        }
        before = now;
    }
    Ok(None)
}

/// One look; `None` where a process ended meanwhile.
fn walk(pid: i32) -> Result<Option<Vec<Seen>>> {
    let mut chain: Vec<Seen> = Vec::new();
    let mut next = pid;
    while next > 0 {
        if chain.len() >= DEEPEST {
            bail!("more than {DEEPEST} processes are above process {pid}: it is taken for one in a bottle");
        }
        match look(next) {
            Ok((seen, parent)) => {
                chain.push(seen);
                next = parent;
            }
            Err(error) if !is_gone(&error) => {
                bail!("process {next} cannot be looked at ({error}), so that it is taken for one in a bottle")
            }
            // It has ended, and its child has another parent; or it is another user's, and hidden: none of this user's.
            Err(_) => match chain.last() {
                Some(child) if look(child.pid).is_ok_and(|(_, parent)| parent == next) => break,
                _ => return Ok(None),
            },
        }
    }
    Ok(Some(chain))
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

/// A process and its parent.
fn look(pid: i32) -> std::io::Result<(Seen, i32)> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    let stat = fs::read(file("stat"))?;
    // Its name may hold anything; behind the last bracket there are numbers.
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let behind = stat.rsplit_once(')').map(|(_, behind)| behind).unwrap_or_default();
    let mut fields = behind.split_whitespace().skip(1);
    let parent = fields.next().and_then(|field| field.parse().ok()).ok_or(ErrorKind::InvalidData)?;
    let began = fields.nth(17).unwrap_or_default().to_owned();
    let arguments = fs::read(file("cmdline"))?;
    let words = arguments.strip_suffix(&[0]).unwrap_or(&arguments).split(|byte| *byte == 0);
    let seen = Seen {
        pid,
        began,
        arguments: words.map(|word| OsString::from_vec(word.to_vec())).collect(),
        // Of another user's process neither can be read: it is none of the operator's bottles.
        environment: fs::read(file("environ")).unwrap_or_default(),
        program: fs::read_link(file("exe")).ok(),
        cgroups: fs::read_to_string(file("cgroup")).unwrap_or_default(),
    };
    Ok((seen, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01a1f97d-c951-77cd-a25c-f881da572eee";

    fn seen(pid: i32, arguments: &[&str]) -> Seen {
        let program = Some(PathBuf::from("/bin/sh"));
        Seen { pid, arguments: arguments.iter().map(OsString::from).collect(), program, ..Seen::default() }
    }

    fn marked(chain: &[Seen]) -> Option<String> {
        mark(chain, Path::new("/opt/hudson"))
    }

    #[test]
    fn an_operators_shell_is_outside() {
        let environment = b"HTTPS_PROXY=http://me:password@corp:3128\0RUN=01a1f97d\0".to_vec();
        let chain = [
            Seen { environment, ..seen(9, &["hudson", "approvals", "approve", "x"]) },
            Seen { cgroups: format!("0::/user.slice/hudson-{RUN}\n"), ..seen(8, &["bash"]) },
            seen(7, &["hudson", "dashboard"]),
            seen(6, &["sh", "-c", "hudson run -- x"]),
            seen(5, &["runner", "run"]),
            seen(1, &[]),
        ];
        assert_eq!(marked(&chain), None);
    }

    #[test]
    fn every_mark_of_a_bottle_is_enough() {
        let own = || seen(9, &["hudson", "approvals", "approve", "x"]);
        let cgroups = format!("12:freezer:/a/hudson-{RUN}\n0::/user.slice\n");
        let told = marked(&[Seen { cgroups, ..own() }]).unwrap();
        assert!(told.contains(&format!("cgroup is hudson-{RUN}")), "{told}");
        for name in PROXY {
            let environment = format!("A=1\0{name}=http://{RUN}:secret-password@127.0.0.1:1\0").into_bytes();
            let of_parent = Seen { environment: environment.clone(), ..seen(8, &["sh"]) };
            for chain in [vec![Seen { environment, ..own() }], vec![own(), of_parent]] {
                let told = marked(&chain).unwrap();
                assert!(told.contains(name) && !told.contains("secret-password"), "{told}");
            }
        }
        for holder in [
            seen(5, &["/usr/bin/hudson", "--home", "/h", "run", "--bottle", "ci", "--", "sh"]),
            seen(5, &["hudson", "run", "--an-option-of-tomorrow", "--", "sh"]),
            seen(5, &["hudson", "__bottle-init"]),
            Seen {
                program: Some("/opt/hudson (deleted)".into()),
                ..seen(5, &["other-name", "run", "--", "sh"])
            },
        ] {
            let told = marked(&[own(), seen(8, &["sh"]), holder]).unwrap();
            assert!(told.contains("`hudson run` (process 5)"), "{told}");
        }
    }

    #[test]
    fn the_run_itself_is_not_in_its_own_bottle() {
        assert_eq!(marked(&[seen(5, &["hudson", "run", "--", "sh"]), seen(4, &["bash"])]), None);
    }

    #[test]
    fn a_process_and_all_above_it_are_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let chain = chain(own).unwrap().unwrap();
        assert_eq!(chain.first().unwrap().pid, own);
        assert!(!chain.first().unwrap().began.is_empty());
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert_eq!(chain.get(1).map(|seen| seen.pid), Some(parent).filter(|parent| *parent > 0));
        // Nobody has this number, and what is not there is not outside.
        assert!(refuse_bottle(i32::MAX).is_err());
    }
}
