//! Approvals: whether somebody can be asked, who that is, and how long what waits has waited.

use super::Finding;
use crate::approvals::operator;
use crate::instance::now;
use anyhow::Result;
use hudson_schema::config::Settings;
use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{Approval, ApprovalQuery, ApprovalStatus, Ledger as _};

const CHECK: &str = "approvals";

/// Looks at them. A home that is not there, and files that cannot be read, are told elsewhere.
pub(super) async fn look(home: &Home) -> Vec<Finding> {
    let Ok(settings) = crate::settings::read(home) else { return Vec::new() };
    if !home.path().is_dir() {
        return Vec::new();
    }
    let own = rustix::process::getuid().as_raw();
    let users = operator::users(home, &settings.approvals.approvers);
    let this_user = users.iter().any(|user| user.split(' ').next() == Some(&format!("uid:{own}")));
    let pending = pending(home).await.unwrap_or_default();
    judge(&settings, &users, this_user, &pending, now())
}

async fn pending(home: &Home) -> Result<Vec<Approval>> {
    let path = home.ledger();
    if std::fs::metadata(&path).map_or(true, |found| found.len() == 0) {
        return Ok(Vec::new());
    }
    let query = ApprovalQuery {
        status: Some(ApprovalStatus::Pending),
        most: usize::MAX,
        now: now(),
        ..ApprovalQuery::default()
    };
    Ok(SqliteLedger::open_read_only(&path)?.approval_list(query).await?)
}

fn judge(
    settings: &Settings,
    users: &[String],
    this_user: bool,
    pending: &[Approval],
    now: i64,
) -> Vec<Finding> {
    let tokens = settings.approvals.approvers.tokens.len();
    let channels = settings.notify.len();
    let mut who = vec![match users {
        [] => "no user of this host".to_owned(),
        users => users.join(", "),
    }];
    if tokens > 0 {
        who.push(format!("{tokens} tokens"));
    }
    let who = format!("{} may decide; {channels} channels are told", who.join(" and "));
    let mut findings = vec![if !this_user && tokens == 0 && channels == 0 {
        let fix = "name this user in approvals.approvers.unix_uid, or a channel in notify, in settings.yml: until then \
                   everything that needs an approval is refused when its time is over";
        Finding::warning(CHECK, format!("nobody is asked: {who}"), fix)
    } else {
        Finding::ok(CHECK, who)
    }];
    if let Some(oldest) = pending.last() {
        let waited = super::super::approvals::span(now.saturating_sub(oldest.created_at));
        let wait = if pending.len() == 1 { "approval waits" } else { "approvals wait" };
        let found = format!("{} {wait} for a decision, the oldest for {waited}", pending.len());
        findings.push(Finding::warning(
            CHECK,
            found,
            "decide: `hudson approvals list`, or the dashboard (a)",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn that_nobody_is_asked_is_a_warning() {
        let states = |users: &[&str], this_user| {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            let findings = judge(&Settings::default(), &users, this_user, &[], 0);
            findings.iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        assert_eq!(states(&["uid:1000 (ada)"], true), [State::Ok]);
        assert_eq!(states(&["uid:1001"], false), [State::Warning]);
        assert_eq!(states(&[], false), [State::Warning]);
    }
}
