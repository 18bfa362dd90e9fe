//! Who decides from the command line and the dashboard: a user of this host, known by the kernel's word.
//!
//! Invariant: a name is for people to read; what is recorded and compared is the uid.

use super::place;
use crate::exit::Exit;
use anyhow::{Context as _, Result};
use hudson_schema::config::Approvers;
use hudson_schema::home::Home;
use nix::unistd::{Uid, User};
use std::os::unix::fs::MetadataExt as _;

/// A user who may decide.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Operator {
    uid: u32,
    name: Option<String>,
}

impl Operator {
    /// Whose process this is, refused where they may not decide, or from here not.
    pub(crate) fn of_this_process(home: &Home, approvers: &Approvers) -> Result<Self> {
        let pid = i32::try_from(std::process::id()).context("this process has no number")?;
        place::refuse_bottle(pid)?;
        Self::of_this_user(home, approvers)
    }

    /// The user this process is of, for whoever has looked at the place already.
    pub(crate) fn of_this_user(home: &Home, approvers: &Approvers) -> Result<Self> {
        let uid = rustix::process::getuid().as_raw();
        let path = home.path();
        let owner = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?.uid();
        check(uid, owner, approvers)?;
        Ok(Self { uid, name: name(uid) })
    }

    /// As it is recorded.
    pub(crate) fn actor(&self) -> String {
        format!("uid:{}", self.uid)
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        shown(&self.actor(), self.name.as_deref())
    }
}

/// An actor of a decision for people: a user of this host with their name.
pub(crate) fn known(actor: &str) -> String {
    let uid = actor.strip_prefix("uid:").and_then(|uid| uid.parse().ok());
    shown(actor, uid.and_then(name).as_deref())
}

/// The users who may decide, for people.
pub(crate) fn users(home: &Home, approvers: &Approvers) -> Vec<String> {
    let owner = || std::fs::metadata(home.path()).map(|found| found.uid()).ok();
    let uids = match approvers.unix_uid.is_empty() {
        true => owner().into_iter().collect(),
        false => approvers.unix_uid.clone(),
    };
    uids.into_iter().map(|uid| known(&format!("uid:{uid}"))).collect()
}

fn check(uid: u32, owner: u32, approvers: &Approvers) -> Result<(), Exit> {
    let named = &approvers.unix_uid;
    if named.contains(&uid) || named.is_empty() && uid == owner {
        return Ok(());
    }
    let who = match named.is_empty() {
        true => format!("the user whom the home belongs to does (uid {owner})"),
        false => format!(
            "approvals.approvers.unix_uid names {}",
            named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    Err(Exit {
        code: crate::exit::FAILED,
        message: format!("uid {uid} does not decide about approvals: {who}"),
    })
}

fn name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

fn shown(actor: &str, name: Option<&str>) -> String {
    name.map_or_else(|| actor.to_owned(), |name| format!("{actor} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_named_decides_and_where_nobody_is_the_homes_owner() {
        let named = |uids: &[u32]| Approvers { unix_uid: uids.to_vec(), ..Approvers::default() };
        assert!(check(1000, 1000, &named(&[])).is_ok());
        assert!(check(1001, 1000, &named(&[1002, 1001])).is_ok());
        for (uid, approvers, why) in [
            (
                0,
                named(&[]),
                "uid 0 does not decide about approvals: the user whom the home belongs to does (uid 1000)",
            ),
            (1000, named(&[1001, 1002]), "approvals.approvers.unix_uid names 1001, 1002"),
        ] {
            let told = check(uid, 1000, &approvers).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_user_is_shown_with_their_name_and_recorded_without() {
        let operator = Operator { uid: 7, name: Some("ada".to_owned()) };
        assert_eq!((operator.actor(), operator.shown()), ("uid:7".to_owned(), "uid:7 (ada)".to_owned()));
        assert_eq!(known("token:ops"), "token:ops");
        assert_eq!(known("uid:0"), "uid:0 (root)");
    }
}
