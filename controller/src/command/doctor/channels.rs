//! Channels: whether what is to be told arrives, and what people answer is heard.

use super::Finding;
use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{Ledger as _, NotifyState};

const CHECK: &str = "channels";

/// Looks at them. Settings that cannot be read have a line of their own.
pub(super) async fn look(home: &Home) -> Vec<Finding> {
    let Ok(settings) = crate::settings::read(home) else { return Vec::new() };
    let kinds: Vec<&str> = settings.notify.iter().map(hudson_schema::config::NotifySetting::kind).collect();
    let state = match SqliteLedger::open_read_only(&home.ledger()) {
        Ok(ledger) => ledger.notify_state().await.unwrap_or_default(),
        // There is none yet, or it has a line of its own.
        Err(_) => NotifyState::default(),
    };
    judge(&kinds, &state)
}

fn judge(kinds: &[&str], state: &NotifyState) -> Vec<Finding> {
    if kinds.is_empty() {
        return vec![Finding::ok(
            CHECK,
            "none: what waits for a person is seen by the command line and the dashboard alone",
        )];
    }
    let mut findings = Vec::new();
    for deaf in &state.deaf {
        let fix = match deaf.fault.contains("409") {
            true => "stop the other program that asks for this bot's updates, or remove its webhook",
            false => "look at its token and at the way to the service; until then nobody decides there",
        };
        findings.push(Finding::warning(CHECK, format!("{} is not heard: {}", deaf.source, deaf.fault), fix));
    }
    if let Some(failure) = &state.last_failure {
        let how = if failure.failed_at.is_some() { "was given up" } else { "did not arrive yet" };
        let found = format!("{} to {} {how}: {}", failure.event, failure.channel, failure.error);
        let fix = "mend the channel; what waits for a person is decided by `hudson approvals` meanwhile";
        findings.push(Finding::warning(CHECK, found, fix));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("{}: nothing has failed", kinds.join(", "))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use hudson_schema::ledger::{ChannelFault, NotifyFailure};

    #[test]
    fn what_does_not_arrive_and_who_is_not_heard_is_told() {
        let states = |kinds: &[&str], state: &NotifyState| {
            judge(kinds, state).iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        let sound = NotifyState::default();
        assert_eq!(states(&[], &sound), [State::Ok]);
        assert_eq!(states(&["telegram"], &sound), [State::Ok]);
        let fault = ChannelFault { source: "telegram-bot:1".into(), fault: "answered 409".into(), since: 1 };
        let failure = NotifyFailure {
            id: "1".into(),
            channel: "telegram:5".into(),
            event: "approval_requested".into(),
            created_at: 1,
            attempts: 3,
            error: "answered 502".into(),
            next_at: None,
            failed_at: Some(2),
        };
        let faulty = NotifyState { deaf: vec![fault], last_failure: Some(failure), ..sound };
        assert_eq!(states(&["telegram"], &faulty), [State::Warning, State::Warning]);
        let told = judge(&["telegram"], &faulty);
        assert!(told.iter().any(|one| one.found.contains("telegram-bot:1 is not heard")), "{told:?}");
        assert!(
            told.iter().any(|one| one.fix.as_deref().is_some_and(|fix| fix.contains("hudson approvals")))
        );
    }
}
