//! How it looks, at several sizes.

use super::scene::{busy, empty, of, press, screen, write};
use crate::dashboard::{BottleState, Event, Snapshot, State, update};
use crossterm::event::KeyCode;
use insta::assert_snapshot;

const SIZES: [(u16, u16); 3] = [(60, 16), (80, 24), (120, 40)];

fn all_sizes(name: &str, snapshot: impl Fn() -> Snapshot, act: impl Fn(&mut State)) {
    for size in SIZES {
        let mut state = of(snapshot(), size);
        act(&mut state);
        assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), screen(&state));
    }
}

#[test]
fn an_empty_home_says_what_to_do_first() {
    all_sizes("empty", empty, |_| {});
}

#[test]
fn a_busy_home_is_seen_at_a_glance() {
    all_sizes("busy", busy, |_| {});
    assert_snapshot!("busy-160x45", screen(&of(busy(), (160, 45))));
}

#[test]
fn a_bottle_that_is_stopped_says_by_whom_and_why() {
    all_sizes("stopped", busy, |state| drop(press(state, &[KeyCode::Down; 4])));
}

#[test]
fn a_frozen_bottle_says_so() {
    let frozen = || {
        let mut snapshot = busy();
        let ci = snapshot.bottles.iter_mut().find(|bottle| bottle.name.as_str() == "ci").unwrap();
        (ci.state, ci.runs[0].frozen) = (BottleState::Frozen, true);
        snapshot
    };
    all_sizes("frozen", frozen, |_| {});
}

#[test]
fn the_help_has_every_key() {
    all_sizes("help", busy, |state| drop(press(state, &[KeyCode::Char('?')])));
}

#[test]
fn a_dialog_names_what_will_happen() {
    all_sizes("cutoff", busy, |state| drop(press(state, &[KeyCode::Char('c')])));
    all_sizes("freeze", busy, |state| drop(press(state, &[KeyCode::Char('f')])));
    all_sizes("kill", busy, |state| drop(press(state, &[KeyCode::End, KeyCode::Char('K')])));
    all_sizes("resume", busy, |state| {
        press(state, &[KeyCode::Down; 4]);
        press(state, &[KeyCode::Char('r')]);
    });
    all_sizes("budget", busy, |state| {
        press(state, &[KeyCode::Char('b'), KeyCode::Backspace]);
    });
}

#[test]
fn what_became_of_an_order_is_told_in_full() {
    let why = "/home/me/.bot-bottle/bot-bottle.db: cannot write to the ledger; make it and its folder writable for this \
               user, or give the order as the user whom it belongs to";
    all_sizes("failed", busy, |state| {
        press(state, &[KeyCode::Char('c'), KeyCode::Char('y')]);
        update(state, Event::Ordered(Err(why.to_owned())));
        assert!(screen(state).split_whitespace().collect::<Vec<_>>().join(" ").contains(why));
    });
}

#[test]
fn the_filter_is_seen_while_it_is_written() {
    all_sizes("filter", busy, |state| {
        press(state, &[KeyCode::Char('/')]);
        write(state, "codex");
    });
}

#[test]
fn events_have_the_lower_pane_of_a_small_screen_when_they_are_marked() {
    all_sizes("events", busy, |state| drop(press(state, &[KeyCode::BackTab, KeyCode::Up])));
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    assert_snapshot!("too-small-40x10", screen(&of(busy(), (40, 10))));
    // Whatever the size, drawing ends well.
    for width in 0..90 {
        for height in 0..30 {
            let mut state = of(busy(), (width, height));
            for key in ['?', 'c'] {
                press(&mut state, &[KeyCode::Char(key)]);
                screen(&state);
                press(&mut state, &[KeyCode::Esc]);
            }
        }
    }
}

#[test]
fn without_colours_the_words_are_the_same() {
    let plain = of(busy(), (120, 40));
    let mut coloured = of(busy(), (120, 40));
    coloured.colour = true;
    assert_eq!(screen(&plain), screen(&coloured));
}
