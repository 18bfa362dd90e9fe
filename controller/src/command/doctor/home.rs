//! The home: whose it is, who else gets in, and whether there is room.

use super::Finding;
use hudson_schema::home::Home;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const CHECK: &str = "home";
/// Free space below which a warning is given, and below which it has failed, in bytes.
const LEAST: (u64, u64) = (1 << 30, 64 << 20);

/// Looks at it.
pub(super) fn look(home: &Home) -> Vec<Finding> {
    let path = home.path().display();
    let found = match std::fs::metadata(home.path()) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let found = format!("there is none at {path} yet; `hudson run` and `hudson up` make it");
            return vec![Finding::ok(CHECK, found)];
        }
        Err(error) => {
            let fix = "let this user into it, or name another one with --home";
            return vec![Finding::failed(CHECK, format!("{path}: {error}"), fix)];
        }
    };
    if !found.is_dir() {
        let fix = "move the file away, or name another home with --home";
        return vec![Finding::failed(CHECK, format!("{path} is no folder"), fix)];
    }
    let mut findings = vec![owner(home.path(), found.uid(), rustix::process::geteuid().as_raw())];
    findings.extend(mode(home.path(), found.permissions().mode()));
    findings.extend(room(home.path()));
    findings
}

fn owner(path: &Path, owner: u32, user: u32) -> Finding {
    let path = path.display();
    match owner == user {
        true => Finding::ok(CHECK, format!("{path} belongs to this user")),
        false => Finding::failed(
            CHECK,
            format!("{path} belongs to uid {owner}, and this is uid {user}"),
            format!("be that user, `chown -R {user} {path}`, or name another home with --home"),
        ),
    }
}

fn mode(path: &Path, mode: u32) -> Option<Finding> {
    let (path, mode) = (path.display(), mode & 0o777);
    let fix = format!("`chmod 700 {path}`");
    match mode & 0o077 {
        0 => None,
        others if others & 0o022 != 0 => {
            Some(Finding::failed(CHECK, format!("others can write to {path} (mode {mode:o})"), fix))
        }
        _ => Some(Finding::warning(CHECK, format!("others can look into {path} (mode {mode:o})"), fix)),
    }
}

fn room(path: &Path) -> Option<Finding> {
    let found = rustix::fs::statvfs(path).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Some(judge_room(path, free))
}

fn judge_room(path: &Path, free: u64) -> Finding {
    let found = format!("{} MiB are free at {}", free >> 20, path.display());
    let fix = "free some space: without room nothing can be recorded, and everything metered is refused";
    match free {
        free if free < LEAST.1 => Finding::failed(CHECK, found, fix),
        free if free < LEAST.0 => Finding::warning(CHECK, found, fix),
        _ => Finding::ok(CHECK, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_home_is_its_users_alone_and_has_room() {
        let path = Path::new("/h");
        assert_eq!(owner(path, 5, 5).state, State::Ok);
        assert!(owner(path, 5, 6).fix.unwrap().contains("chown -R 6 /h"));
        assert!(mode(path, 0o40700).is_none());
        assert_eq!(mode(path, 0o40755).unwrap().state, State::Warning);
        assert_eq!(mode(path, 0o40777).unwrap().state, State::Failed);
        let states = [1 << 40, 500 << 20, 1 << 20].map(|free| judge_room(path, free).state);
        assert_eq!(states, [State::Ok, State::Warning, State::Failed]);
    }

    #[test]
    fn a_home_that_is_not_there_is_no_failure_and_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let none = look(&Home::new(folder.path().join("none")));
        assert_eq!(none.first().unwrap().state, State::Ok);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(look(&Home::new(folder.path().join("file"))).first().unwrap().state, State::Failed);
    }
}
