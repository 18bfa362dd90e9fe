//! What waits for a decision: what keys do to it, and how it looks.

use super::scene::{NOW, busy, empty, of, press, screen, write};
use crate::dashboard::state::{Mode, Pane};
use crate::dashboard::{Effect, Event, Order, Snapshot, State, Waiting, update};
use crossterm::event::KeyCode;
use hudson_schema::Tier;
use hudson_schema::ledger::ApprovalId;
use insta::assert_snapshot;

const SIZE: (u16, u16) = (100, 30);
const A: KeyCode = KeyCode::Char('a');

fn id(number: u8) -> ApprovalId {
    ApprovalId::of_random([number; 16])
}

fn waiting(number: u8, tier: Tier) -> Waiting {
    let lines = [
        ("what", "confirm, «send_email»".to_owned()),
        ("tier", format!("{tier}, {} of 4", tier.number())),
        ("bottle", "ci".to_owned()),
        ("target", "«a@example.com»".to_owned()),
        ("description", format!("«Send the report {number}, {}»", "which is long, ".repeat(12))),
        ("digest", format!("{number:02x}").repeat(4)),
        ("decide until", "2026-11-21T12:04:00Z (in 4 min)".to_owned()),
        ("id", id(number).to_string()),
    ];
    Waiting {
        id: id(number),
        fingerprint: format!("{number:02x}").repeat(32),
        bottle: "ci".parse().unwrap(),
        tier,
        what: "confirm send_email".to_owned(),
        target: "a@example.com".to_owned(),
        expires_at: NOW + 240_000,
        lines: lines.into_iter().map(|(label, value)| (label.into(), value)).collect(),
    }
}

fn three() -> Snapshot {
    let approvals = vec![waiting(1, Tier::Medium), waiting(2, Tier::Critical), waiting(3, Tier::High)];
    Snapshot { waiting: 3, approvals, ..busy() }
}

fn read(state: &mut State, snapshot: Snapshot) {
    update(state, Event::Read { outcome: Ok(Box::new(snapshot)), took: 3 });
}

fn decided(effects: &[Effect]) -> (ApprovalId, bool, Option<String>) {
    match effects {
        [Effect::Give(Order::Decide { id, approve, reason, fingerprint })] => {
            assert_eq!(fingerprint.len(), 64);
            (id.clone(), *approve, reason.clone())
        }
        other => panic!("no decision: {other:?}"),
    }
}

#[test]
fn what_waits_is_decided_only_after_enter() {
    let mut state = of(three(), SIZE);
    assert_eq!(press(&mut state, &[KeyCode::Char('y')]), [], "another pane has no such key");
    assert_eq!(state.mode, Mode::Browse);
    assert_eq!(press(&mut state, &[A, KeyCode::Char('y')]), []);
    assert!(matches!(state.mode, Mode::Decide(_)));
    assert_eq!(write(&mut state, "yes"), [], "what is typed is the reason");
    assert_eq!(decided(&press(&mut state, &[KeyCode::Enter])), (id(1), true, Some("yes".to_owned())));
    update(&mut state, Event::Ordered(Ok(String::new())));
    press(&mut state, &[KeyCode::Esc, KeyCode::Down, KeyCode::Down, KeyCode::Char('d')]);
    assert_eq!(decided(&press(&mut state, &[KeyCode::Enter])), (id(3), false, None));
    update(&mut state, Event::Ordered(Ok(String::new())));
    press(&mut state, &[KeyCode::Esc, KeyCode::Char('y')]);
    assert_eq!(press(&mut state, &[KeyCode::Esc]), []);
    assert_eq!(state.mode, Mode::Browse);
}

#[test]
fn what_is_critical_wants_a_reason_and_a_no_does_not() {
    let mut state = of(three(), SIZE);
    press(&mut state, &[A, KeyCode::Down, KeyCode::Char('y')]);
    assert_eq!(press(&mut state, &[KeyCode::Enter, KeyCode::Char(' '), KeyCode::Enter]), []);
    assert!(screen(&state).contains("only with a reason"), "{}", screen(&state));
    write(&mut state, "checked");
    assert_eq!(decided(&press(&mut state, &[KeyCode::Enter])), (id(2), true, Some("checked".to_owned())));
    update(&mut state, Event::Ordered(Ok(String::new())));
    press(&mut state, &[KeyCode::Esc, KeyCode::Char('d')]);
    assert_eq!(decided(&press(&mut state, &[KeyCode::Enter])), (id(2), false, None));
}

#[test]
fn a_decision_is_about_what_was_shown_even_if_the_list_moves() {
    let mut state = of(three(), SIZE);
    press(&mut state, &[A, KeyCode::Down, KeyCode::Char('d')]);
    let mut moved = three();
    moved.approvals.insert(0, waiting(9, Tier::Low));
    moved.approvals.remove(2);
    read(&mut state, moved);
    assert!(screen(&state).contains("It does not wait any more"), "{}", screen(&state));
    assert_eq!(decided(&press(&mut state, &[KeyCode::Enter])).0, id(2));
}

#[test]
fn the_selection_stays_with_its_approval_and_orders_about_bottles_are_none_here() {
    let mut state = of(three(), SIZE);
    press(&mut state, &[A, KeyCode::Down]);
    for key in "cfrKbs/".chars() {
        assert_eq!(press(&mut state, &[KeyCode::Char(key)]), []);
        assert_eq!((state.mode.clone(), state.pane), (Mode::Browse, Pane::Approvals), "{key}");
    }
    let mut more = three();
    more.approvals.insert(0, waiting(9, Tier::Low));
    read(&mut state, more);
    assert_eq!(state.asked().unwrap().id, id(2));
    read(&mut state, three());
    press(&mut state, &[KeyCode::End]);
    assert_eq!(state.asked().unwrap().id, id(3));
    read(&mut state, Snapshot { waiting: 1, approvals: vec![waiting(1, Tier::Medium)], ..busy() });
    assert_eq!(state.asked().unwrap().id, id(1));
    press(&mut state, &[A]);
    assert_eq!(state.pane, Pane::Bottles);
    press(&mut state, &[A, KeyCode::Tab]);
    assert_eq!(state.pane, Pane::Bottles);
}

#[test]
fn nothing_is_decided_while_an_order_is_carried_out_or_where_nothing_waits() {
    let mut state = of(three(), SIZE);
    press(&mut state, &[A, KeyCode::Char('y'), KeyCode::Enter]);
    assert_eq!(press(&mut state, &[KeyCode::Char('y'), KeyCode::Enter]), []);
    assert_eq!(state.mode, Mode::Browse, "one order at a time");
    let mut state = of(empty(), SIZE);
    assert_eq!(press(&mut state, &[A, KeyCode::Char('y'), KeyCode::Enter]), []);
    assert!(screen(&state).contains("Nothing waits for a decision"), "{}", screen(&state));
}

#[test]
fn how_it_looks() {
    for size in [(60, 16), (80, 24), (120, 40)] {
        let mut state = of(three(), size);
        press(&mut state, &[A, KeyCode::Down]);
        assert_snapshot!(format!("approvals-{}x{}", size.0, size.1), screen(&state));
        press(&mut state, &[KeyCode::Char('y')]);
        write(&mut state, "the copy");
        assert_snapshot!(format!("approve-{}x{}", size.0, size.1), screen(&state));
    }
    // Whatever the size, drawing ends well.
    for (width, height) in (0..90).flat_map(|width| (0..30).map(move |height| (width, height))) {
        let mut state = of(three(), (width, height));
        press(&mut state, &[A, KeyCode::PageDown]);
        screen(&state);
        press(&mut state, &[KeyCode::Char('y')]);
        screen(&state);
    }
}

#[test]
fn all_of_a_text_can_be_read_on_a_small_screen() {
    let mut state = of(three(), (60, 16));
    press(&mut state, &[A]);
    let mut seen = screen(&state);
    for _ in 0..6 {
        press(&mut state, &[KeyCode::PageDown]);
        seen += &screen(&state);
    }
    for (label, _) in &three().approvals[0].lines {
        assert!(seen.contains(label.as_ref()), "{label}: {seen}");
    }
    assert_eq!(state.asked().unwrap().id, id(1), "pages do not select another");
}
