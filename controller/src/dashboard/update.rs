//! How the state changes. The one place where it does.

use super::keys;
use super::state::{Notice, State};
use super::{Effect, Event, Snapshot};

/// A reading that took longer than this, in milliseconds, is not repeated at every change.
const SLOW: u64 = 250;
/// For each so many milliseconds that a reading took, one tick passes before the next.
const PAUSE: u64 = 250;

/// Takes an event in; what is to be done about it.
pub(crate) fn update(state: &mut State, event: Event) -> Vec<Effect> {
    match event {
        Event::Key(key) => keys::press(state, key),
        Event::Resize(width, height) => {
            state.size = (width, height);
            keys::clamp(state);
            Vec::new()
        }
        Event::Tick(now) => {
            state.now = now;
            if state.reading.under_way {
                return Vec::new();
            }
            match state.reading.pause.checked_sub(1) {
                Some(left) => {
                    state.reading.pause = left;
                    Vec::new()
                }
                None => read(state),
            }
        }
        Event::LedgerChanged if state.reading.under_way || state.reading.pause > 0 => {
            state.reading.stale = true;
            Vec::new()
        }
        Event::LedgerChanged => read(state),
        Event::Read { outcome, took } => {
            state.reading.under_way = false;
            state.reading.pause = took / PAUSE;
            match outcome {
                Ok(snapshot) => take_over(state, *snapshot),
                Err(fault) => state.fault = Some(fault),
            }
            if state.reading.stale && took < SLOW { read(state) } else { Vec::new() }
        }
        Event::Stop(why) => {
            state.failure = why;
            vec![Effect::Quit]
        }
        Event::Ordered(outcome) => {
            state.ordering = false;
            state.notice = Some(match outcome {
                Ok(text) => Notice { text, failed: false },
                Err(text) => Notice { text, failed: true },
            });
            if state.reading.under_way {
                state.reading.stale = true;
                return Vec::new();
            }
            read(state)
        }
    }
}

fn read(state: &mut State) -> Vec<Effect> {
    state.reading.under_way = true;
    state.reading.stale = false;
    vec![Effect::Read]
}

fn take_over(state: &mut State, snapshot: Snapshot) {
    state.fault = None;
    state.now = state.now.max(snapshot.now);
    let old = state.snapshot.as_ref().and_then(|old| old.events.last()).map(|row| row.seq);
    if let (Some(old), true) = (old, state.events_below > 0) {
        // Who looks at older events goes on seeing the same ones.
        let came = snapshot.events.iter().filter(|row| row.seq > old).count();
        state.events_below += came;
    }
    let (place, asked) = (state.position(), state.asked_position());
    state.snapshot = Some(snapshot);
    let gone = |name| !state.shown().iter().any(|bottle| bottle.name == name);
    if state.selected.clone().is_none_or(gone) {
        state.select(place);
    }
    if !state.waiting().iter().any(|waiting| Some(&waiting.id) == state.asked.as_ref()) {
        state.ask(asked);
    }
    keys::clamp(state);
}
