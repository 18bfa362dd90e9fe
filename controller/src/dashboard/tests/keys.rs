//! What keys and events do to the state.

use super::scene::{NOW, block, bottle, busy, empty, event, limit, of, press, run, write};
use crate::dashboard::state::{Mode, Pane, Sort};
use crate::dashboard::{Bottle, Effect, Event, Order, Snapshot, State, update};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hudson_schema::budget::Amount;
use hudson_schema::{Scope, ScopeKind};

const SIZE: (u16, u16) = (120, 40);

fn selected(state: &State) -> &str {
    state.current().map_or("", |bottle| bottle.name.as_str())
}

fn give(effects: &[Effect]) -> &Order {
    match effects {
        [Effect::Give(order)] => order,
        other => panic!("no order: {other:?}"),
    }
}

fn read(state: &mut State, snapshot: Snapshot, took: u64) -> Vec<Effect> {
    update(state, Event::Read { outcome: Ok(Box::new(snapshot)), took })
}

#[test]
fn a_cutoff_is_ordered_only_after_a_yes() {
    let mut state = of(busy(), SIZE);
    assert_eq!(press(&mut state, &[KeyCode::Char('c'), KeyCode::Char('n')]), []);
    assert_eq!(press(&mut state, &[KeyCode::Char('c'), KeyCode::Esc]), []);
    assert_eq!(press(&mut state, &[KeyCode::Char('c'), KeyCode::Down]), [], "another key decides nothing");
    assert!(matches!(state.mode, Mode::Confirm(Order::Cutoff(_))));
    let effects = press(&mut state, &[KeyCode::Char('y')]);
    assert_eq!(*give(&effects), Order::Cutoff("ci".parse().unwrap()));
}

#[test]
fn an_order_is_about_the_bottle_it_was_asked_for_even_if_the_list_moves() {
    let mut state = of(busy(), SIZE);
    press(&mut state, &[KeyCode::Char('c')]);
    let mut moved = busy();
    moved.bottles.insert(0, bottle("a-new-one"));
    read(&mut state, moved, 3);
    assert_eq!(*give(&press(&mut state, &[KeyCode::Enter])), Order::Cutoff("ci".parse().unwrap()));
    assert_eq!(selected(&state), "ci", "the selection stays with its bottle");
}

#[test]
fn what_an_order_came_to_is_told_and_read_anew() {
    let mut state = of(busy(), SIZE);
    press(&mut state, &[KeyCode::Char('c'), KeyCode::Char('y')]);
    assert_eq!(press(&mut state, &[KeyCode::Char('c')]), []);
    assert_eq!(state.mode, Mode::Browse, "one order at a time");
    assert_eq!(update(&mut state, Event::Ordered(Err("no room".to_owned()))), [Effect::Read]);
    let notice = state.notice.clone().unwrap();
    assert!(notice.failed && notice.text == "no room", "{notice:?}");
    press(&mut state, &[KeyCode::Esc]);
    assert_eq!(state.notice, None);
}

#[test]
fn only_what_an_operator_stopped_can_be_resumed_and_only_what_lives_killed() {
    let mut state = of(busy(), SIZE);
    let r = [KeyCode::Char('r'), KeyCode::Char('y')];
    assert_eq!(press(&mut state, &r), []);
    assert!(state.notice.as_ref().unwrap().text.contains("ci is not stopped"));
    press(&mut state, &[KeyCode::Down, KeyCode::Down, KeyCode::Down]);
    assert_eq!(selected(&state), "partly-stopped");
    assert_eq!(press(&mut state, &r), []);
    assert!(state.notice.as_ref().unwrap().text.contains("b raises it"), "{:?}", state.notice);
    press(&mut state, &[KeyCode::Down]);
    assert_eq!(*give(&press(&mut state, &r)), Order::Resume("review".parse().unwrap()));
    update(&mut state, Event::Ordered(Ok(String::new())));
    press(&mut state, &[KeyCode::Home, KeyCode::Down, KeyCode::Char('K')]);
    assert!(state.notice.as_ref().unwrap().text.contains("docs has no live run"));
    press(&mut state, &[KeyCode::Home, KeyCode::Char('K')]);
    assert_eq!(*give(&press(&mut state, &[KeyCode::Char('y')])), Order::Kill("ci".parse().unwrap()));
}

#[test]
fn what_runs_is_frozen_after_a_yes_and_what_is_frozen_brought_back() {
    let mut state = of(busy(), SIZE);
    let effects = press(&mut state, &[KeyCode::Char('f'), KeyCode::Char('y')]);
    assert_eq!(*give(&effects), Order::Freeze("ci".parse().unwrap()));
    update(&mut state, Event::Ordered(Ok(String::new())));
    let mut frozen = busy();
    // By a budget that was raised since: no operator has ordered anything.
    let ci = frozen.bottles.iter_mut().find(|bottle| bottle.name.as_str() == "ci").unwrap();
    ci.runs[0].frozen = true;
    read(&mut state, frozen, 3);
    assert_eq!(press(&mut state, &[KeyCode::Char('f')]), []);
    assert!(state.notice.as_ref().unwrap().text.contains("no live run to freeze"));
    let effects = press(&mut state, &[KeyCode::Char('r'), KeyCode::Char('y')]);
    assert_eq!(*give(&effects), Order::Resume("ci".parse().unwrap()));
}

#[test]
fn a_budget_is_begun_at_the_limit_that_governs_and_set_as_written() {
    let mut state = of(busy(), SIZE);
    press(&mut state, &[KeyCode::Char('b')]);
    let backspaces = [KeyCode::Backspace; 7];
    press(&mut state, &backspaces);
    assert_eq!(write(&mut state, "5M"), []);
    let ordered = press(&mut state, &[KeyCode::Enter]);
    let order = |scope, provider: &str, tokens| Order::SetBudget {
        scope,
        provider: provider.parse().unwrap(),
        tokens: Amount(tokens),
    };
    assert_eq!(*give(&ordered), order(Scope::new(ScopeKind::Bottle, "ci"), "claude", 5_000_000));
    update(&mut state, Event::Ordered(Ok(String::new())));
    press(&mut state, &[KeyCode::Char('b'), KeyCode::Tab]);
    write(&mut state, "200k");
    assert_eq!(*give(&press(&mut state, &[KeyCode::Enter])), order(Scope::global(), "claude", 200_000));
}

#[test]
fn a_budget_that_cannot_be_read_is_not_set() {
    let mut state = of(busy(), SIZE);
    press(&mut state, &[KeyCode::Char('b'), KeyCode::Backspace]);
    write(&mut state, "lots");
    assert_eq!(press(&mut state, &[KeyCode::Enter]), []);
    assert!(matches!(state.mode, Mode::Budget(_)), "what was written is kept");
    press(&mut state, &[KeyCode::Esc]);
    assert_eq!(state.mode, Mode::Browse);
}

#[test]
fn the_filter_narrows_while_it_is_written_and_esc_takes_it_back() {
    let mut state = of(busy(), SIZE);
    let names =
        |state: &State| state.shown().iter().map(|bottle| bottle.name.to_string()).collect::<Vec<_>>();
    press(&mut state, &[KeyCode::Char('/')]);
    assert_eq!(write(&mut state, "q"), [], "q is a letter here");
    assert_eq!(names(&state), Vec::<String>::new());
    press(&mut state, &[KeyCode::Backspace]);
    write(&mut state, "CODEX");
    assert_eq!(names(&state), ["ci", "docs"]);
    press(&mut state, &[KeyCode::Enter]);
    assert_eq!((state.mode.clone(), names(&state).len()), (Mode::Browse, 2));
    press(&mut state, &[KeyCode::Char('/'), KeyCode::Char('x'), KeyCode::Esc]);
    assert_eq!(state.filter, "CODEX");
    press(&mut state, &[KeyCode::Esc]);
    assert_eq!(names(&state).len(), 6);
    for (text, found) in [("cut off", "review"), ("reviewer", "ci"), ("api.openai", "ci")] {
        state.filter = text.to_owned();
        assert_eq!(names(&state), [found], "{text}");
    }
}

#[test]
fn the_list_is_sorted_by_name_usage_rate_and_time_to_empty() {
    let mut state = of(busy(), SIZE);
    let first = |state: &State| state.shown().first().unwrap().name.to_string();
    assert_eq!((state.sort, first(&state).as_str()), (Sort::Name, "ci"));
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!((state.sort, first(&state).as_str()), (Sort::Usage, "ci"));
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!((state.sort, &first(&state)[..7]), (Sort::Rate, "the-one"));
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!(
        (state.sort, first(&state).as_str()),
        (Sort::Empty, "partly-stopped"),
        "nothing is left there"
    );
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!(state.sort, Sort::Name);
}

#[test]
fn a_limit_that_resets_before_it_is_spent_is_never_empty() {
    let mut own = limit(ScopeKind::Bottle, "ci", "claude", 1000, 400);
    assert_eq!(own.empty_in(NOW), None, "nothing is being spent");
    own.rate = 60;
    assert_eq!(own.empty_in(NOW), Some(600_000));
    own.resets_at = Some(NOW + 600_000);
    assert_eq!(own.empty_in(NOW), None);
    own.spent = 1000;
    assert_eq!(own.empty_in(NOW), Some(0));
}

#[test]
fn keys_move_within_the_list_and_never_out_of_it() {
    let mut state = of(busy(), SIZE);
    press(&mut state, &[KeyCode::Up]);
    assert_eq!(selected(&state), "ci");
    press(&mut state, &[KeyCode::Char('j'), KeyCode::Char('j'), KeyCode::Char('k')]);
    assert_eq!(selected(&state), "docs");
    for end in [KeyCode::End, KeyCode::PageDown, KeyCode::Down] {
        press(&mut state, &[end]);
    }
    assert!(selected(&state).starts_with("the-one"));
    press(&mut state, &[KeyCode::PageUp, KeyCode::Home]);
    assert_eq!(selected(&state), "ci");
}

#[test]
fn panes_scroll_as_far_as_there_is_something_and_come_back_at_once() {
    let mut state = of(busy(), (80, 24));
    press(&mut state, &[KeyCode::Tab]);
    assert_eq!(state.pane, Pane::Details);
    press(&mut state, &[KeyCode::End, KeyCode::PageDown]);
    let bottom = state.detail_top;
    press(&mut state, &[KeyCode::Up]);
    assert!(bottom > 0 && state.detail_top == bottom - 1, "{bottom}, then {}", state.detail_top);
    press(&mut state, &[KeyCode::BackTab, KeyCode::Down]);
    assert_eq!((state.pane, state.detail_top), (Pane::Bottles, 0), "another bottle is shown from its top");
}

#[test]
fn events_follow_until_they_are_scrolled_and_then_stand_still() {
    let mut state = of(busy(), (80, 24));
    press(&mut state, &[KeyCode::BackTab]);
    assert_eq!(state.pane, Pane::Events);
    press(&mut state, &[KeyCode::Up, KeyCode::Up]);
    let mut more = busy();
    more.events.extend([event(13), event(14), event(15)]);
    read(&mut state, more, 3);
    assert_eq!(state.events_below, 5);
    press(&mut state, &[KeyCode::End]);
    assert_eq!(state.events_below, 0);
}

#[test]
fn one_reading_at_a_time_and_changes_are_not_lost() {
    let mut state = State::new(String::new(), false, SIZE, NOW);
    assert_eq!(update(&mut state, Event::Tick(NOW)), [Effect::Read]);
    assert_eq!(update(&mut state, Event::Tick(NOW)), []);
    assert_eq!(update(&mut state, Event::LedgerChanged), []);
    assert_eq!(read(&mut state, empty(), 3), [Effect::Read], "it changed meanwhile");
    assert_eq!(read(&mut state, empty(), 3), []);
    assert_eq!(update(&mut state, Event::LedgerChanged), [Effect::Read]);
}

#[test]
fn slow_readings_leave_the_ledger_alone_in_between() {
    let mut state = of(empty(), SIZE);
    update(&mut state, Event::Tick(NOW));
    read(&mut state, empty(), 600);
    assert_eq!(update(&mut state, Event::LedgerChanged), []);
    assert_eq!(update(&mut state, Event::Tick(NOW)), []);
    assert_eq!(update(&mut state, Event::Tick(NOW)), []);
    assert_eq!(update(&mut state, Event::Tick(NOW)), [Effect::Read]);
}

#[test]
fn a_failed_reading_keeps_what_was_read_before() {
    let mut state = of(busy(), SIZE);
    update(&mut state, Event::Tick(NOW));
    update(&mut state, Event::Read { outcome: Err("the disk is gone".to_owned()), took: 1 });
    assert_eq!((state.shown().len(), state.fault.as_deref()), (6, Some("the disk is gone")));
    update(&mut state, Event::Tick(NOW));
    read(&mut state, busy(), 1);
    assert_eq!(state.fault, None);
}

#[test]
fn a_bottle_that_goes_leaves_the_selection_where_it_was() {
    let bottles =
        |names: &[&str]| Snapshot { bottles: names.iter().map(|name| bottle(name)).collect(), ..empty() };
    let mut state = of(bottles(&["a", "b", "c"]), SIZE);
    press(&mut state, &[KeyCode::Down]);
    read(&mut state, bottles(&["a", "c"]), 3);
    assert_eq!(selected(&state), "c");
    read(&mut state, bottles(&["a"]), 3);
    assert_eq!(selected(&state), "a");
}

#[test]
fn it_ends_by_q_ctrl_c_and_signals_and_says_why() {
    let mut state = of(busy(), SIZE);
    assert_eq!(press(&mut state, &[KeyCode::Char('q')]), [Effect::Quit]);
    press(&mut state, &[KeyCode::Char('?')]);
    assert_eq!(press(&mut state, &[KeyCode::Char('q')]), [], "it puts the help away");
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(update(&mut state, Event::Key(ctrl_c)), [Effect::Quit], "it is no cutoff");
    assert_eq!(update(&mut state, Event::Stop(Some("gone".to_owned()))), [Effect::Quit]);
    assert_eq!(state.failure.as_deref(), Some("gone"));
}

#[test]
fn orders_need_a_bottle() {
    let mut state = of(empty(), SIZE);
    for key in ['c', 'r', 'K', 'b'] {
        assert_eq!(press(&mut state, &[KeyCode::Char(key), KeyCode::Enter]), [], "{key}");
        assert_eq!(state.mode, Mode::Browse);
    }
    let stopped = Bottle { blocks: vec![block("x", "an order")], runs: vec![run("a", None)], ..bottle("x") };
    let mut state = of(Snapshot { bottles: vec![stopped], ..empty() }, SIZE);
    press(&mut state, &[KeyCode::Char('r')]);
    assert!(matches!(state.mode, Mode::Confirm(Order::Resume(_))));
}
