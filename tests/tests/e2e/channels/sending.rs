//! Getting through: to services that want to be left alone, that are away, or that are one of several.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hudson_schema::ledger::ApprovalStatus;
use serde_json::{Value, json};

use super::ledger::{Ledger, now};
use super::telegram_server::{TOKEN, Telegram};
use super::{A_WHILE, SOON, parts};
use crate::raw::upstream::ok;
use crate::raw::{self, Stage, Upstream};

fn notifications(stage: &Stage) -> Value {
    let status: Value = serde_json::from_slice(&stage.hudson(&["status", "--json"]).stdout).expect("JSON");
    status["notifications"].clone()
}

#[test]
fn a_service_that_wants_to_be_left_alone_is_for_so_long() {
    let telegram = Telegram::start();
    let flood = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 2",
        "parameters": {"retry_after": 2}});
    telegram.fails("sendMessage", 429, flood);
    // Its own times would be a minute.
    let settings = format!("notify: [{{{}}}]\n", telegram.setting(", retry: [1m]"));
    let stage = super::stage(&settings, &[("TG", TOKEN)]);
    let ledger = Ledger::of(&stage);
    let asked = Instant::now();
    ledger.ask(1);
    telegram.message(0);
    let took = asked.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(8)).contains(&took), "{took:?}");
    let deferred = stage.event("notify_deferred");
    assert_eq!(deferred["error"], "answered 429: Too Many Requests: retry after 2");
}

#[test]
fn a_service_that_is_away_is_tried_until_it_is_back_or_it_is_too_late() {
    let telegram = Telegram::start();
    let away = || json!({"ok": false, "error_code": 502, "description": "Bad Gateway"});
    telegram.fails("sendMessage", 502, away());
    telegram.fails("sendMessage", 502, away());
    let settings = format!("notify: [{{{}}}]\n", telegram.setting(", retry: [1s, 1s, 1s]"));
    let stage = super::stage(&settings, &[("TG", TOKEN)]);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let message = telegram.message(0);
    assert_eq!(telegram.calls("sendMessage"), 3);
    telegram.press(7, -100, message.id, &message.buttons["Approve"]);
    ledger.wait_for(&asked.id, ApprovalStatus::Approved);
    // Nobody can be told in time: it is said, and it is no denial.
    (0..4).for_each(|_| telegram.fails("sendMessage", 502, away()));
    let missed = ledger.ask_with(2, |request| request.decision_expires_at = now() + 800);
    let failed = stage.event("notify_failed");
    assert_eq!(failed["error"], "its time ran out before anybody could be told");
    assert_eq!(ledger.status(&missed.id), ApprovalStatus::Expired);
    let told = notifications(&stage);
    assert_eq!(told["last_failure"]["error"], "its time ran out before anybody could be told", "{told:#}");
    assert_eq!(telegram.messages().len(), 1);
}

#[test]
fn what_a_service_never_takes_is_given_up_at_once_and_aloud() {
    let telegram = Telegram::start();
    let gone = json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was kicked from the group chat"});
    telegram.fails("sendMessage", 403, gone);
    let stage = super::stage(&format!("notify: [{{{}}}]\n", telegram.setting("")), &[("TG", TOKEN)]);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let failed = stage.event("notify_failed");
    assert_eq!(failed["error"], "answered 403: Forbidden: bot was kicked from the group chat");
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending, "it waits for whoever else decides");
    let shown = stage.hudson(&["status"]).exited(0).text();
    assert!(shown.contains("bot was kicked"), "{shown}");
    assert!(!shown.contains("tests-only") && !stage.log().contains("tests-only"), "the token is told");
    for file in std::fs::read_dir(stage.world.home()).expect("the home is there").flatten() {
        if file.file_type().is_ok_and(|kind| kind.is_file()) {
            let text = std::fs::read(file.path()).expect("it is readable");
            assert!(!String::from_utf8_lossy(&text).contains("tests-only"), "{:?} has it", file.path());
        }
    }
}

#[test]
fn every_channel_is_told_of_budgets_and_stops() {
    let telegram = Telegram::start();
    let stage = super::stage(&format!("notify: [{{{}}}]\n", telegram.setting("")), &[("TG", TOKEN)]);
    stage.bottle_add("ci", &[]);
    stage.hudson(&["bottle", "cutoff", "ci", "--reason", "it digs\nfor gold"]).exited(0);
    let stopped = telegram.message(0);
    assert!(stopped.text.starts_with("Hudson: stopped (cutoff)\nwhat: bottle ci\n"), "{stopped:?}");
    assert!(stopped.text.contains("it digs for gold") && stopped.buttons.is_empty(), "{stopped:?}");
    stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    assert!(telegram.message(1).text.starts_with("Hudson: not stopped by this any more\n"));
}

#[test]
fn where_one_is_enough_the_next_is_asked_when_the_first_is_away() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = away.clone();
    let first = Upstream::start(move |_| match is_away.load(Ordering::Relaxed) {
        true => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false => ok("", b""),
    });
    let telegram = Telegram::start();
    let settings = format!(
        "approvals: {{strategy: first_success}}\n\
         notify: [{{webhook: {{url: 'http://{}/', secret_env: HS}}}}, {{{}}}]\n",
        first.address,
        telegram.setting("")
    );
    let stage = super::stage(&settings, &[("TG", TOKEN), ("HS", "s")]);
    let ledger = Ledger::of(&stage);
    let events = || first.seen().iter().map(|request| parts(request).1["event"].clone()).collect::<Vec<_>>();
    let one = ledger.ask(1);
    raw::wait_until(SOON, || (first.seen().len() == 1).then_some(())).expect("the first is told");
    ledger.approve(&one.id);
    raw::wait_until(SOON, || (events().len() == 2).then_some(())).expect("and what became of it");
    assert_eq!(events(), ["approval_requested", "approval_decided"]);
    std::thread::sleep(A_WHILE);
    assert_eq!(telegram.messages().len(), 0, "one is enough");

    away.store(true, Ordering::Relaxed);
    let two = ledger.ask(2);
    let message = telegram.message(0);
    assert!(message.text.contains(two.id.as_str()));
    assert_eq!(stage.event("notify_failed")["instead"], "telegram:-100");
    away.store(false, Ordering::Relaxed);
    telegram.press(7, -100, message.id, &message.buttons["Deny"]);
    ledger.wait_for(&two.id, ApprovalStatus::Denied);
    telegram.changed(message.id);
    std::thread::sleep(A_WHILE);
    assert_eq!(events().len(), 3, "who was not asked is not told what became of it");
}

#[test]
fn a_bottle_that_asks_too_often_is_told_of_once_until_the_hour_is_over() {
    let telegram = Telegram::start();
    let settings =
        format!("approvals: {{notifications_per_hour: 3}}\nnotify: [{{{}}}]\n", telegram.setting(""));
    let stage = super::stage(&settings, &[("TG", TOKEN)]);
    let ledger = Ledger::of(&stage);
    let asked: Vec<_> = (0..10).map(|digest| ledger.ask(digest)).collect();
    raw::wait_until(SOON, || (telegram.messages().len() == 4).then_some(())).expect("they come");
    std::thread::sleep(A_WHILE);
    let messages = telegram.messages();
    assert_eq!((messages.len(), ledger.count()), (4, 10));
    let many: Vec<_> = messages.iter().filter(|message| message.buttons.is_empty()).collect();
    let [many] = many.as_slice() else { panic!("{messages:#?}") };
    assert!(many.text.starts_with("Hudson: more approvals are asked for"), "{many:?}");
    assert!(many.text.contains("waiting: ") && many.text.contains("hudson approvals list"), "{many:?}");
    // What becomes of those nobody was told of is no news.
    asked.iter().for_each(|one| drop(ledger.approve(&one.id)));
    raw::wait_until(SOON, || (telegram.calls("editMessageText") == 3).then_some(()))
        .expect("they are changed");
    std::thread::sleep(A_WHILE);
    assert_eq!((telegram.messages().len(), telegram.calls("editMessageText")), (4, 3));
    // Another bottle has its own count.
    ledger.ask_with(11, |request| request.bottle = "other".parse().expect("a name"));
    telegram.message(4);
}
