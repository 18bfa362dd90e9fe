//! Requests, counted by the kind of host they were for and by what they were answered with.
//!
//! Invariant: counting is one addition, and neither waits nor asks for memory; no host is named, so that what an agent
//! asks for cannot make the counts many.

use http::StatusCode;
use hudson_meter::Endpoint;
use std::sync::atomic::{AtomicU64, Ordering};

/// What kind of host a request was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostClass {
    /// A provider's, where tokens are spent.
    Metered,
    /// A provider's, where nothing is.
    Provider,
    /// Any other, or none that a route allows.
    Other,
}

/// The status classes, as metrics name them.
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The requests of one bottle, or of one run.
#[derive(Debug, Default)]
pub struct Traffic {
    answered: [[AtomicU64; STATUSES.len()]; HostClass::ALL.len()],
}

impl HostClass {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Metered, Self::Provider, Self::Other];

    /// Where a request to this endpoint goes.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Metered { .. } | Endpoint::Retrieval { .. } => Self::Metered,
            Endpoint::Free { .. } | Endpoint::Unknown { .. } => Self::Provider,
            Endpoint::Foreign => Self::Other,
        }
    }

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Provider => "provider",
            Self::Other => "other",
        }
    }
}

impl Traffic {
    /// Counts a request that was answered, by whomever.
    pub(crate) fn count(&self, class: HostClass, status: StatusCode) {
        let status = usize::from(status.as_u16() / 100).saturating_sub(1).min(STATUSES.len() - 1);
        let cell = self.answered.get(class as usize).and_then(|of_class| of_class.get(status));
        if let Some(cell) = cell {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far, without what there was none of: the class, the class of the status, how many.
    pub fn read(&self) -> Vec<(HostClass, &'static str, u64)> {
        let mut seen = Vec::new();
        for (class, of_class) in HostClass::ALL.into_iter().zip(&self.answered) {
            for (status, cell) in STATUSES.into_iter().zip(of_class) {
                let count = cell.load(Ordering::Relaxed);
                if count > 0 {
                    seen.push((class, status, count));
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let traffic = Traffic::default();
        for (class, status) in [
            (HostClass::Metered, 200),
            (HostClass::Metered, 299),
            (HostClass::Other, 101),
            (HostClass::Other, 403),
            (HostClass::Provider, 999),
        ] {
            traffic.count(class, StatusCode::from_u16(status).unwrap());
        }
        let expected = [
            (HostClass::Metered, "2xx", 2),
            (HostClass::Provider, "5xx", 1),
            (HostClass::Other, "1xx", 1),
            (HostClass::Other, "4xx", 1),
        ];
        assert_eq!(traffic.read(), expected);
    }
}
