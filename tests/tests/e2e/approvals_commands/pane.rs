//! The dashboard's pane of what waits for a decision, on a real terminal, by the ledger and by a running `hudson up`.

use super::*;

/// Puts away what shows this. A key that came at once would be taken for one with Alt.
#[track_caller]
fn leave(terminal: &mut Terminal, shown: &str) {
    terminal.press("\u{1b}");
    let gone = wait_until(SOON, || (!terminal.screen().contains(shown)).then_some(()));
    assert!(gone.is_some(), "it stays:\n{}", terminal.screen());
}

#[test]
fn what_waits_is_seen_and_decided_with_keys() {
    let desk = Desk::new();
    let (mail, wipe) = (desk.ask(request(0xab)), desk.ask(critical(2)));
    let mut terminal = desk.on_terminal(100, "dashboard");
    terminal.shows("2 wait for approval");
    terminal.press("a");
    terminal.shows("Approvals · 2 wait");
    terminal.shows(mail.id.as_str());
    terminal.shows("«Send the report id: apr_forged»");
    terminal.press("y");
    terminal.shows("tier medium, bottle ci, digest abababab");
    leave(&mut terminal, "[Esc] leave");
    assert_eq!(desk.fetch(&mail).status, ApprovalStatus::Pending, "nothing is done before it is confirmed");
    terminal.press("y");
    terminal.shows("[Enter] approve");
    terminal.press("looks right\r");
    terminal.shows("approved by");
    terminal.shows("Approvals · 1 wait");
    let approved = desk.fetch(&mail);
    assert_eq!((approved.decided_via, approved.decided_by), (Some(DecidedVia::Dashboard), Some(own())));
    assert_eq!(approved.reason.as_deref(), Some("looks right"));
    leave(&mut terminal, "approved by");
    terminal.press("y");
    terminal.shows("only with a reason");
    terminal.press("\r\r");
    terminal.shows("only with a reason");
    assert_eq!(desk.fetch(&wipe).status, ApprovalStatus::Pending);
    leave(&mut terminal, "[Esc] leave");
    terminal.press("d");
    terminal.shows("[Enter] deny");
    terminal.press("no\r");
    terminal.shows("Nothing waits for a decision");
    assert_eq!(desk.fetch(&wipe).reason.as_deref(), Some("no"));
    assert_eq!(desk.fetch(&wipe).status, ApprovalStatus::Denied);
    terminal.press("q");
    terminal.shows("code 0");
    terminal.ends();
}

#[test]
fn with_an_up_it_is_decided_through_its_socket_and_what_others_decided_is_told() {
    let desk = Desk::new();
    let (first, second) = (desk.ask(request(1)), desk.ask(request(2)));
    let _up = desk.world.up();
    let mut terminal = desk.on_terminal(100, "dashboard");
    terminal.shows("hudson up: process");
    terminal.press("a");
    terminal.shows("Approvals · 2 wait");
    terminal.press("y\r");
    terminal.shows("Approvals · 1 wait");
    let approved = desk.fetch(&first);
    assert_eq!(
        (approved.status, approved.decided_via),
        (ApprovalStatus::Approved, Some(DecidedVia::Dashboard))
    );
    leave(&mut terminal, "approved by");
    terminal.press("d");
    terminal.shows("[Enter] deny");
    desk.hudson(&["approve", second.id.as_str()]).exited(0);
    terminal.shows("It does not wait any more");
    terminal.press("\r");
    terminal.shows("there is nothing to deny");
    assert_eq!(desk.fetch(&second).status, ApprovalStatus::Approved);
    terminal.press("q");
    terminal.shows("code 0");
    terminal.ends();
}
