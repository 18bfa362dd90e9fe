//! What happens to the dashboard, and what it asks of the world.

use super::Snapshot;
use crossterm::event::KeyEvent;
use hudson_schema::budget::Amount;
use hudson_schema::ledger::ApprovalId;
use hudson_schema::{BottleName, Provider, Scope};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has this many columns and rows now.
    Resize(u16, u16),
    /// A second is over; the clock, in unix milliseconds.
    Tick(i64),
    /// A decision was written to the ledger, or the running controller tells of something.
    LedgerChanged,
    /// A reading has ended.
    Read {
        /// What was read, or why it could not be.
        outcome: Result<Box<Snapshot>, String>,
        /// How long it took, in milliseconds.
        took: u64,
    },
    /// An order was carried out, or refused: what is told of it.
    Ordered(Result<String, String>),
    /// It has to end: by a signal, or for this reason.
    Stop(Option<String>),
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Read everything.
    Read,
    /// Give an order.
    Give(Order),
    /// Leave.
    Quit,
}

/// An order of the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// As `hudson bottle cutoff`.
    Cutoff(BottleName),
    /// As `hudson bottle freeze`.
    Freeze(BottleName),
    /// As `hudson bottle resume`.
    Resume(BottleName),
    /// As `hudson bottle kill`.
    Kill(BottleName),
    /// As `hudson approvals approve` and `deny`.
    Decide {
        /// The approval.
        id: ApprovalId,
        /// What was shown of it.
        fingerprint: String,
        /// Whether it is approved.
        approve: bool,
        /// Why.
        reason: Option<String>,
    },
    /// As `hudson budget set`.
    SetBudget {
        /// Where the limit stands.
        scope: Scope,
        /// The provider counted, or `any`.
        provider: Provider,
        /// The tokens allowed.
        tokens: Amount,
    },
}
