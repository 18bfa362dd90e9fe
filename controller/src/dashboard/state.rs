//! What the dashboard knows.

use super::{Bottle, Order, Snapshot, Waiting};
use hudson_schema::ledger::ApprovalId;
use hudson_schema::{BottleName, Scope, Tier};

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
    /// The approval that the details are of, as long as it waits.
    pub(crate) asked: Option<ApprovalId>,
    /// Lines of its details that are above the pane.
    pub(crate) asked_top: usize,
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
    /// Deciding about an approval.
    Decide(Decision),
}

/// A decision that is being made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Decision {
    /// The approval.
    pub(crate) id: ApprovalId,
    /// What was shown of it.
    pub(crate) fingerprint: String,
    /// The kind and the action.
    pub(crate) what: String,
    /// What it acts on.
    pub(crate) target: String,
    /// The bottle that asks.
    pub(crate) bottle: BottleName,
    /// Whether it is to be approved.
    pub(crate) approve: bool,
    /// How much harm it can do.
    pub(crate) tier: Tier,
    /// Why, as far as it is written.
    pub(crate) reason: String,
}

impl Decision {
    /// Whether it cannot be made without a reason, and has none.
    pub(crate) fn wants_reason(&self) -> bool {
        self.approve && self.tier == Tier::Critical && self.reason.trim().is_empty()
    }

    /// The first digits of what it is bound to, as every place shows them.
    pub(crate) fn digest(&self) -> String {
        self.fingerprint.chars().take(8).collect()
    }
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
    /// What waits for a decision, in the place of the others.
    Approvals,
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
            asked: None,
            asked_top: 0,
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

    /// What waits for a decision.
    pub(crate) fn waiting(&self) -> &[Waiting] {
        self.snapshot.as_ref().map(|snapshot| snapshot.approvals.as_slice()).unwrap_or_default()
    }

    /// Where the selected approval stands among those that wait.
    pub(crate) fn asked_position(&self) -> usize {
        let position = self.waiting().iter().position(|waiting| Some(&waiting.id) == self.asked.as_ref());
        position.unwrap_or_default()
    }

    /// The approval that the details are of.
    pub(crate) fn asked(&self) -> Option<&Waiting> {
        self.waiting().get(self.asked_position())
    }

    /// Selects the approval at this place, or the last one.
    pub(super) fn ask(&mut self, place: usize) {
        let waiting = self.waiting();
        let id = waiting.get(place).or(waiting.last()).map(|waiting| waiting.id.clone());
        if id != self.asked {
            self.asked_top = 0;
        }
        self.asked = id;
    }
}
