//! Which part of the screen belongs to what.
//!
//! Invariant: the parts never overlap, whatever the size.

use super::state::{Pane, State};
use ratatui::layout::Rect;

/// The least columns and rows that everything fits in.
pub(super) const LEAST: (u16, u16) = (60, 16);
/// Lines above the panes: home, totals, warnings.
const HEAD: u16 = 3;
/// From so many columns on the details stand beside the table.
const BESIDE: u16 = 136;
/// From so many rows on all three panes are shown one above the other.
const THREE: u16 = 22;

/// The parts; one without room is empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Areas {
    /// What holds for the whole host.
    pub(super) head: Rect,
    /// The table.
    pub(super) bottles: Rect,
    /// What is known of one bottle.
    pub(super) details: Rect,
    /// What has happened.
    pub(super) events: Rect,
    /// What waits for a decision.
    pub(super) approvals: Rect,
    /// One of that.
    pub(super) asked: Rect,
    /// The keys, or what is told of an order.
    pub(super) foot: Rect,
}

/// Whether a terminal has too little room.
pub(super) fn too_small((width, height): (u16, u16)) -> bool {
    width < LEAST.0 || height < LEAST.1
}

/// The parts of the screen.
pub(super) fn areas(state: &State) -> Areas {
    let (width, height) = state.size;
    if too_small(state.size) {
        return Areas::default();
    }
    let body = height - HEAD - 1;
    let row = |top: u16, rows: u16| Rect::new(0, top, width, rows);
    let areas = Areas { head: row(0, HEAD), foot: row(height - 1, 1), ..Areas::default() };
    if state.pane == Pane::Approvals {
        let listed = u16::try_from(state.waiting().len()).unwrap_or(u16::MAX).saturating_add(2).max(3);
        let list = listed.min(body * 2 / 5).max(3);
        return Areas { approvals: row(HEAD, list), asked: row(HEAD + list, body - list), ..areas };
    }
    // As many rows as there are bottles, as long as that leaves the others half.
    let listed = u16::try_from(state.shown().len()).unwrap_or(u16::MAX).saturating_add(2).max(5);
    if width >= BESIDE {
        let beside = width * 2 / 5;
        let left = width - beside - 1;
        let bottles = listed.min(body * 3 / 5);
        return Areas {
            bottles: Rect::new(0, HEAD, left, bottles),
            events: Rect::new(0, HEAD + bottles, left, body - bottles),
            details: Rect::new(left + 1, HEAD, beside, body),
            ..areas
        };
    }
    let bottles = listed.min(body * 2 / 5).max(5);
    let rest = body - bottles;
    let below = HEAD + bottles;
    if height >= THREE {
        let details = rest * 3 / 5;
        return Areas {
            bottles: row(HEAD, bottles),
            details: row(below, details),
            events: row(below + details, rest - details),
            ..areas
        };
    }
    match state.pane {
        Pane::Events => Areas { bottles: row(HEAD, bottles), events: row(below, rest), ..areas },
        Pane::Bottles | Pane::Details | Pane::Approvals => {
            Areas { bottles: row(HEAD, bottles), details: row(below, rest), ..areas }
        }
    }
}
