//! The kernel: whether bottles can be isolated, locked and frozen. Isolation is tried, not guessed: a bottle is made as
//! `hudson run` makes one, and ended before anything runs in it.

use super::{Finding, Scratch};
use crate::isolate::{Isolated, Plan, Wish};
use anyhow::Result;
use rustix::fs::{Access, access};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const ISOLATION: &str = "isolation";
const SECCOMP: &str = "seccomp";
const FREEZER: &str = "freezer";
/// Sysctls that keep a user from making namespaces: where, the value that does, and what to set.
const SYSCTLS: [(&str, &str, &str); 3] = [
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
];
/// What the filter of a bottle answers with.
const ACTIONS: [&str; 3] = ["errno", "kill_process", "allow"];

/// Looks at it.
pub(super) async fn look(scratch: &Scratch) -> Vec<Finding> {
    vec![isolation(scratch), seccomp(), freezer()]
}

fn isolation(scratch: &Scratch) -> Finding {
    match isolate(scratch) {
        Ok(()) => Finding::ok(ISOLATION, "a bottle in namespaces of its own was made and ended again"),
        Err(error) => {
            let value = |name: &str| std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok();
            let refusing =
                SYSCTLS.iter().filter(|(name, no, _)| value(name).is_some_and(|is| is.trim() == *no));
            let set: Vec<String> = refusing.map(|(_, _, set)| format!("`sysctl -w {set}`")).collect();
            let fix = match set.is_empty() {
                true => "run Hudson outside of the container or sandbox that refuses it, or use `hudson run \
                         --isolation none` for agents that you trust"
                    .to_owned(),
                false => format!("as root: {}; below /etc/sysctl.d to keep it", set.join(", ")),
            };
            // What `run` adds for its own user has no place here.
            let error = format!("{error:#}");
            let why = error.split("; `--isolation none`").next().unwrap_or_default();
            Finding::failed(ISOLATION, why, fix)
        }
    }
}

fn isolate(scratch: &Scratch) -> Result<()> {
    let plan = Plan::new(&Wish {
        home: None,
        hudson: scratch.home.path(),
        directory: scratch.folder("work")?,
        show: &[],
        made: Vec::new(),
        program: OsStr::new("true"),
        path: "/usr/bin:/bin".into(),
    })?;
    Isolated::make(&plan).map(drop)
}

fn seccomp() -> Finding {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    judge_seccomp(&actions)
}

fn judge_seccomp(actions: &str) -> Finding {
    let missing: Vec<&str> = ACTIONS
        .into_iter()
        .filter(|action| !actions.split_whitespace().any(|known| known == *action))
        .collect();
    match missing.is_empty() {
        true => Finding::ok(SECCOMP, "the kernel filters system calls"),
        false => Finding::failed(
            SECCOMP,
            format!("the kernel does not filter system calls ({} is missing)", missing.join(", ")),
            "use a kernel with CONFIG_SECCOMP_FILTER (every distribution's has it), 4.14 or later",
        ),
    }
}

/// Whether this process could freeze what it starts by a cgroup; without one it does so by signals.
fn freezer() -> Finding {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let places = freezers(&own);
    let writable = |place: &&PathBuf| access(place.as_path(), Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let fix = "run Hudson as a service with Delegate=yes, or by `systemd-run --user --scope -p Delegate=yes`; as root \
               mount cgroup2 at /sys/fs/cgroup";
    match (places.iter().find(writable), places.iter().find(|place| place.exists())) {
        (Some(place), _) => {
            Finding::ok(FREEZER, format!("groups can be made and frozen in {}", place.display()))
        }
        (None, Some(place)) => {
            let found = format!(
                "{} is not writable for this user: processes are frozen by signals, one by one",
                place.display()
            );
            Finding::warning(FREEZER, found, fix)
        }
        (None, None) => Finding::warning(
            FREEZER,
            "there is no cgroup freezer here: processes are frozen by signals, one by one",
            fix,
        ),
    }
}

/// Where the freezer is for a process in these groups: version 1 has a hierarchy for it, version 2 has it in every group.
fn freezers(own: &str) -> Vec<PathBuf> {
    let groups = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((controllers, path.trim_start_matches('/')))
    });
    let mut places = Vec::new();
    for (controllers, path) in groups {
        if controllers.split(',').any(|controller| controller == "freezer") {
            places.push(Path::new("/sys/fs/cgroup/freezer").join(path));
        }
        if controllers.is_empty() {
            // Alone, or beside version 1.
            let root = Path::new("/sys/fs/cgroup");
            let root =
                if root.join("cgroup.procs").exists() { root.to_owned() } else { root.join("unified") };
            places.push(root.join(path));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn both_versions_of_the_freezer_are_looked_for() {
        let found = freezers("12:freezer:/user\n3:cpu,cpuacct:/\n0::/user.slice/a b.scope\n");
        assert_eq!(found.first().unwrap(), Path::new("/sys/fs/cgroup/freezer/user"));
        assert!(found.get(1).unwrap().ends_with("user.slice/a b.scope"), "{found:?}");
        assert!(freezers("nonsense\n").is_empty());
    }

    #[test]
    fn a_kernel_without_filters_fails() {
        assert_eq!(judge_seccomp("kill_process kill_thread trap errno trace log allow\n").state, State::Ok);
        let old = judge_seccomp("kill_thread trap errno allow");
        assert!(old.state == State::Failed && old.found.contains("kill_process"), "{old:?}");
        assert_eq!(judge_seccomp("").state, State::Failed);
    }
}
