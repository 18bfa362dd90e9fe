//! What the dashboard knows.

use super::{Bottle, Order, Snapshot};
use hudson_schema::{BottleName, Scope};

/// Everything that drawing depends on.
#[derive(Debug)]
pub(crate) struct State {
    /// The home, for people.
    pub(crate) home: String,
    /// Whether colours may be used.
    pub(crate) colour: bool,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// The clock of the last tick, in unix milliseconds.
    pub(crate) now: i64,
    /// What was read last; `None` before the first reading.
    pub(crate) snapshot: Option<Snapshot>,
    /// Why the last reading failed; what was read before it is shown on.
    pub(crate) fault: Option<String>,
    /// The bottle that the details are of, as long as it is in the list.
    pub(crate) selected: Option<BottleName>,
    /// The order of the bottles.
    pub(crate) sort: Sort,
    /// Bottles without this text in name, state, provider, agent or host are left out.
    pub(crate) filter: String,
    /// Where the keys go.
    pub(crate) pane: Pane,
    /// Lines of the details that are above the pane.
    pub(crate) detail_top: usize,
    /// Events that are below the pane; 0 follows the last.
    pub(crate) events_below: usize,
    /// What the keys mean.
    pub(crate) mode: Mode,
    /// What is told of the last order.
    pub(crate) notice: Option<Notice>,
    /// Whether an order is being carried out.
    pub(crate) ordering: bool,
    /// Why it has to end, where that is a failure.
    pub(crate) failure: Option<String>,
    /// When readings take place.
    pub(super) reading: Reading,
}

/// When readings take place: one at a time, and no more of them than leave the ledger most of its time.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whether one is under way.
    pub(super) under_way: bool,
    /// Whether something has changed since it began.
    pub(super) stale: bool,
    /// Ticks that are let pass before the next one.
    pub(super) pause: u64,
}

/// What the keys mean.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Moving about.
    Browse,
    /// Writing the filter; what it was before.
    Filter(String),
    /// Reading the help.
    Help,
    /// Deciding about an order.
    Confirm(Order),
    /// Writing a limit.
    Budget(Draft),
}

/// A limit that is being written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Draft {
    /// The bottle it was begun for.
    pub(crate) bottle: BottleName,
    /// Where limits of it can stand, and what is in the field for each.
    pub(crate) fields: Vec<(Scope, String)>,
    /// The field that is written to.
    pub(crate) at: usize,
}

impl Draft {
    /// The scope and text that are written to.
    pub(crate) fn field(&self) -> Option<(&Scope, &str)> {
        self.fields.get(self.at).map(|(scope, text)| (scope, text.as_str()))
    }
}

/// A part of the screen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pane {
    /// The table.
    Bottles,
    /// What is known of one bottle.
    Details,
    /// What has happened.
    Events,
}

/// The order of the bottles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sort {
    /// By name.
    Name,
    /// Most tokens first.
    Usage,
    /// Most tokens a minute first.
    Rate,
    /// Soonest empty first.
    Empty,
}

impl Sort {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Usage => "usage",
            Self::Rate => "rate",
            Self::Empty => "time to empty",
        }
    }

    /// The one that follows.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Usage,
            Self::Usage => Self::Rate,
            Self::Rate => Self::Empty,
            Self::Empty => Self::Name,
        }
    }
}

/// What is told of an order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notice {
    /// The words.
    pub(crate) text: String,
    /// Whether it failed.
    pub(crate) failed: bool,
}

impl State {
    /// Before anything was read.
    pub(crate) fn new(home: String, colour: bool, size: (u16, u16), now: i64) -> Self {
        Self {
            home,
            colour,
            size,
            now,
            snapshot: None,
            fault: None,
            selected: None,
            sort: Sort::Name,
            filter: String::new(),
            pane: Pane::Bottles,
            detail_top: 0,
            events_below: 0,
            mode: Mode::Browse,
            notice: None,
            ordering: false,
            failure: None,
            reading: Reading::default(),
        }
    }

    /// The bottle that the details are of.
    pub(crate) fn current(&self) -> Option<&Bottle> {
        let shown = self.shown();
        let selected = shown.iter().find(|bottle| Some(&bottle.name) == self.selected.as_ref());
        selected.or(shown.first()).copied()
    }
}
