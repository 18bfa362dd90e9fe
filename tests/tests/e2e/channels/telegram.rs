//! Telegram: buttons that decide, and everything that must not.

use std::process::Stdio;

use hudson_schema::ledger::{ApprovalStatus, DecidedVia, Tier};
use hudson_tests::process::Background;
use hudson_tests::{clients, hudson};
use rustix::process::Signal;
use serde_json::json;

use super::ledger::{Ledger, now};
use super::telegram_server::{TOKEN, Telegram, conflict};
use super::{A_WHILE, SOON};
use crate::raw::{self, Stage};

fn start(telegram: &Telegram) -> Stage {
    super::stage(&format!("notify: [{{{}}}]\n", telegram.setting("")), &[("TG", TOKEN)])
}

/// One more process that tells and hears for the same home.
fn controller(stage: &Stage) -> Background {
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", stage.world.operator_home()).env("TG", TOKEN).arg("controller");
    command.args(hudson::redirection(&stage.world.simulator)).arg("--home").arg(stage.world.home());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Background::start(&mut command)
}

#[test]
fn a_person_approves_and_denies_by_button() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    for (place, (label, status)) in
        [("Approve", ApprovalStatus::Approved), ("Deny", ApprovalStatus::Denied)].into_iter().enumerate()
    {
        let digest = u8::try_from(place).expect("few") + 0xa1;
        let asked = ledger.ask(digest);
        let message = telegram.message(place);
        assert!(
            message.text.contains(&format!("digest: {}", format!("{digest:02x}").repeat(4))),
            "{message:?}"
        );
        assert!(
            message.text.contains("what: http, «charge»") && message.text.contains(asked.id.as_str()),
            "{message:?}"
        );
        let query = telegram.press(7, -100, message.id, &message.buttons[label]);
        let decided = ledger.wait_for(&asked.id, status);
        assert_eq!(decided.decided_by.as_deref(), Some("telegram:7"));
        assert_eq!(decided.decided_via, Some(DecidedVia::Telegram));
        assert_eq!(telegram.answered(&query), (format!("{status}."), false));
        let text = telegram.changed(message.id);
        assert!(text.starts_with(&format!("Hudson: {status} by telegram:7\n")), "{text}");
    }
    ledger.refused(&[]);
    assert!(!stage.log().contains("tests-only"), "the token is told");
}

#[test]
fn nobody_else_decides_nowhere_else_and_nothing_else() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let (first, second) = (ledger.ask(1), ledger.ask(2));
    let (one, other) = (telegram.message(0), telegram.message(1));
    let (one, other) = match one.text.contains(first.id.as_str()) {
        true => (one, other),
        false => (other, one),
    };
    let yes = &one.buttons["Approve"];
    let refused = |user, chat, message, data: &str, words: &str| {
        let query = telegram.press(user, chat, message, data);
        let (text, alert) = telegram.answered(&query);
        assert!(text.contains(words) && alert, "{text}");
        assert_eq!(ledger.status(&first.id), ApprovalStatus::Pending);
    };
    refused(8, -100, one.id, yes, "not one of those who may decide");
    refused(7, -101, one.id, yes, "nothing was asked in this chat");
    refused(7, -100, 4_711, yes, "not the one that asks");
    refused(7, -100, other.id, yes, "not the one that asks");
    let swapped = yes.replacen('a', "d", 1);
    refused(7, -100, one.id, &swapped, "not made for what is asked");
    let mut forged = yes.clone();
    forged.replace_range(yes.len() - 4.., "AAAA");
    refused(7, -100, one.id, &forged, "not made for what is asked");
    refused(7, -100, one.id, "approve", "no button");
    refused(7, -100, one.id, "", "no button");
    let unknown = format!("a:{}:{}", "a".repeat(26), "A".repeat(22));
    refused(7, -100, one.id, &unknown, "no such approval");
    let (proved, forged) = ("telegram:7", "telegram:8");
    ledger.refused(&[
        ("not_an_approver", forged),
        ("other_place", proved),
        ("other_message", proved),
        ("other_message", proved),
        ("not_made_for_this", proved),
        ("not_made_for_this", proved),
        ("no_button", proved),
        ("no_button", proved),
        ("unknown", proved),
    ]);
    assert_eq!(ledger.status(&second.id), ApprovalStatus::Pending);
}

#[test]
fn a_press_counts_once_and_a_decision_stands() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let message = telegram.message(0);
    let query = telegram.press(7, -100, message.id, &message.buttons["Approve"]);
    ledger.wait_for(&asked.id, ApprovalStatus::Approved);
    telegram.answered(&query);
    // The same press again, as another update; then another press of what is on the screen still.
    telegram.press_as(&query, 7, -100, message.id, &message.buttons["Approve"]);
    ledger.refused(&[("replayed", "telegram:7")]);
    let late = telegram.press(7, -100, message.id, &message.buttons["Deny"]);
    let (text, _) = telegram.answered(&late);
    assert!(text.contains("nothing to decide any more: it is approved (by telegram:7)"), "{text}");
    ledger.refused(&[("replayed", "telegram:7"), ("decided_already", "telegram:7")]);
    // An update from before is not even looked at.
    telegram.update(json!({"update_id": 1, "callback_query": {"id": "old", "from": {"id": 9}, "data": "x"}}));
    std::thread::sleep(A_WHILE);
    assert_eq!(ledger.refusals().len(), 2);
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Approved);
}

#[test]
fn what_is_too_late_is_told_so_and_is_no_denial() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask_with(1, |request| request.decision_expires_at = now() + 2_500);
    let message = telegram.message(0);
    ledger.wait_for(&asked.id, ApprovalStatus::Expired);
    let query = telegram.press(7, -100, message.id, &message.buttons["Approve"]);
    let (text, alert) = telegram.answered(&query);
    assert!(text.contains("too late") && text.contains("nobody has said no") && alert, "{text}");
    ledger.sweep();
    let text = telegram.changed(message.id);
    assert!(text.starts_with("Hudson: not approved: nobody answered in time"), "{text}");
    ledger.refused(&[("expired", "telegram:7")]);
}

#[test]
fn a_message_loses_its_buttons_when_it_is_decided_elsewhere() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let message = telegram.message(0);
    assert_eq!(message.buttons.len(), 2);
    raw::wait_until(SOON, || (telegram.calls("sendMessage") == 1).then_some(()));
    ledger.approve(&asked.id);
    let text = telegram.changed(message.id);
    assert!(
        text.starts_with("Hudson: approved by unix:1000\n") && text.contains("reason: «checked»"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_undone_has_no_button_that_approves() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask_with(1, |request| request.tier = Tier::Critical);
    let message = telegram.message(0);
    assert_eq!(message.buttons.keys().collect::<Vec<_>>(), ["Deny"]);
    let how = format!("hudson approvals approve {} --reason", asked.id);
    assert!(message.text.contains(&how), "{message:?}");
    telegram.press(7, -100, message.id, &message.buttons["Deny"]);
    ledger.wait_for(&asked.id, ApprovalStatus::Denied);
}

#[test]
fn another_poller_is_told_of_and_waited_for() {
    let telegram = Telegram::start();
    telegram.fails("getUpdates", 409, conflict());
    let stage = start(&telegram);
    let unheard = stage.event("channel_unheard");
    assert!(unheard["error"].as_str().is_some_and(|error| error.contains("409: Conflict")), "{unheard}");
    assert!(unheard["fix"].as_str().is_some_and(|fix| fix.contains("a bot of its own")), "{unheard}");
    let shown = stage.hudson(&["status"]).exited(0).text();
    assert!(shown.contains("not heard") && shown.contains("telegram-bot:123456"), "{shown}");
    let doctor = stage.hudson(&["doctor", "--json"]).text();
    assert!(doctor.contains("telegram-bot:123456 is not heard"), "{doctor}");
    raw::wait_until(SOON, || {
        (!stage.events("channel_heard").is_empty()).then_some(()).or_else(|| {
            telegram.update(json!({"update_id": 2_000 + telegram.calls("getUpdates"), "edited_message": {}}));
            None
        })
    })
    .expect("it is heard again");
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let message = telegram.message(0);
    telegram.update(json!({"update_id": 9_000, "callback_query": {"id": "q", "from": {"id": 7}, "data": message.buttons["Deny"],
        "message": {"message_id": message.id, "chat": {"id": -100}}}}));
    ledger.wait_for(&asked.id, ApprovalStatus::Denied);
}

#[test]
fn what_is_pressed_while_nobody_listens_is_heard_by_the_next_once() {
    let telegram = Telegram::start();
    let mut stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let first = ledger.ask(1);
    let message = telegram.message(0);
    telegram.press(7, -100, message.id, &message.buttons["Approve"]);
    ledger.wait_for(&first.id, ApprovalStatus::Approved);
    let second = ledger.ask(2);
    let message = telegram.message(1);
    raw::wait_until(SOON, || (telegram.offsets().last() == Some(&Some(1_001))).then_some(()))
        .expect("it is polled from behind the first press on");
    stage.signal(Signal::KILL);
    stage.ends_within(SOON);
    let query = telegram.press(7, -100, message.id, &message.buttons["Deny"]);
    let before = telegram.offsets().len();
    let _next = controller(&stage);
    ledger.wait_for(&second.id, ApprovalStatus::Denied);
    telegram.answered(&query);
    let after = telegram.offsets().split_off(before);
    assert!(after.iter().all(|offset| *offset >= Some(1_001)), "{after:?}");
    telegram.changed(message.id);
    ledger.refused(&[]);
}

#[test]
fn two_processes_of_a_home_ask_as_one() {
    let telegram = Telegram::start();
    let stage = start(&telegram);
    let ledger = Ledger::of(&stage);
    let mut run = clients::clean(&hudson::binary().display().to_string());
    run.env("HOME", stage.world.operator_home()).env("TG", TOKEN);
    run.args(["run", "--embedded", "--isolation", "none", "--bottle", "beside", "--home"]);
    run.arg(stage.world.home()).args(["--", "sleep", "60"]);
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _run = Background::start(&mut run);
    std::thread::sleep(2 * A_WHILE);
    let asked = ledger.ask(1);
    let message = telegram.message(0);
    telegram.press(7, -100, message.id, &message.buttons["Approve"]);
    ledger.wait_for(&asked.id, ApprovalStatus::Approved);
    telegram.changed(message.id);
    assert_eq!(telegram.conflicts(), 0);
    assert_eq!(telegram.messages().len(), 1, "one message");
}
