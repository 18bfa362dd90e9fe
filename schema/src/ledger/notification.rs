//! Notifications: what is told outside of Hudson about warnings and stops, and how its delivery gets on.
//!
//! Invariant: whoever delivers has claimed before, for a time; until that is over nobody else does, and after it anybody
//! may. So a notification can arrive twice after a crash, with the same id, and is never lost.

use serde::Serialize;

/// A request for notifications to deliver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotifyClaim {
    /// The channels that the settings have now, by their stable names, in the order of the settings.
    pub channels: Vec<String>,
    /// At most so many.
    pub most: usize,
    /// How long they are this process's own, in milliseconds: longer than a delivery can take.
    pub lease: i64,
    /// What else the settings say of who is told.
    pub rules: NotifyRules,
    /// The clock.
    pub now: i64,
}

/// Who is told of what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotifyRules {
    /// Whether only the first channel is, and the next by [`NotifyEnd::HandedOver`].
    pub first_success: bool,
    /// So many requests of a bottle for approval in an hour; what is above is told together, once, and nobody is told
    /// what becomes of it.
    pub per_hour: u32,
}

impl Default for NotifyRules {
    fn default() -> Self {
        Self { first_success: false, per_hour: u32::MAX }
    }
}

/// A notification that was claimed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// Its id: the same in every channel and at every attempt.
    pub id: String,
    /// The channel it goes to.
    pub channel: String,
    /// What it tells: `budget_warning`, `bottle_stopped`, `bottle_resumed`, `enforcement_failed`, or that an approval was
    /// `approval_requested`, `approval_decided`, `approval_consumed`, `approval_expired` or `approval_cancelled`; and
    /// `approvals_waiting` for those of a bottle that are too many to be told one by one.
    pub kind: String,
    /// The JSON that is sent.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// How an attempt ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotifyEnd {
    /// It arrived.
    Delivered,
    /// It did not, and is tried again.
    Again {
        /// Not before this time.
        at: i64,
        /// What went wrong, without any secret.
        error: String,
    },
    /// It did not, and is given up.
    Failed {
        /// What went wrong, without any secret.
        error: String,
    },
    /// It did not, is given up, and goes to another channel at once.
    HandedOver {
        /// What went wrong, without any secret.
        error: String,
        /// That channel.
        to: String,
    },
}

/// What is not delivered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NotifyState {
    /// Deliveries that are still to be made, one for each channel.
    pub undelivered: u64,
    /// Notifications of which nobody has said yet who is told: no process that serves runs has come by.
    pub undirected: u64,
    /// The latest that did not arrive: given up, or to be tried again.
    pub last_failure: Option<NotifyFailure>,
    /// Services whose answers are not heard.
    pub deaf: Vec<ChannelFault>,
}

/// How far a service was heard that is asked for what there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NotifyCursor {
    /// Where the next thing begins; 0 at first.
    pub position: i64,
    /// When that was last moved.
    pub moved_at: i64,
}

/// A service whose answers are not heard.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ChannelFault {
    /// Which.
    pub source: String,
    /// Why, without any secret.
    pub fault: String,
    /// Since when.
    pub since: i64,
}

/// A delivery that failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct NotifyFailure {
    /// The notification.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// What it tells.
    pub event: String,
    /// When that was.
    pub created_at: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub error: String,
    /// When it is tried again; `None` once it is given up.
    pub next_at: Option<i64>,
    /// When it was given up.
    pub failed_at: Option<i64>,
}
